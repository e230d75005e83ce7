package cli

import (
	"encoding/base64"
	"fmt"
	"os"
	"strings"

	"github.com/lares-drm/lares/content/cenc"
)

// readPSSH reads boxes of other DRM systems, as their license services give them:
// binary, or in base64.
func readPSSH(files []string) (out []cenc.PSSH, err error) {
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(data))); err == nil {
			data = text
		}
		box, err := cenc.ParsePSSH(data)
		if err != nil {
			return nil, fmt.Errorf("--pssh %s: want one pssh box, binary or base64: %w", name, err)
		}
		out = append(out, *box)
	}
	return out, nil
}
