package cli

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
)

type decryptFlags struct {
	keys  []string
	init  string
	force bool
}

func newContentDecryptCmd(env *Env) *cobra.Command {
	var f decryptFlags
	cmd := &cobra.Command{
		Use:   "decrypt --key KID:KEY IN OUT",
		Short: "Decrypt an MP4 file with keys you have",
		Long: `Decrypt an MP4 file (cenc, cens, cbc1, cbcs or PIFF; fragments or not) with keys
you have, for tests and for content of your own. No license is involved: the keys
of licensed content never leave the TREM. The result has the same length as the
input and appears whole or not at all. "-" is standard input or output.

Exit status 3 when a key is missing, or when what a key gives is noise.`,
		Example: `  lares content decrypt --key 0f0e…=a1b2… protected.mp4 clear.mp4
  lares content decrypt --key 0f0e…=a1b2… --init hd/init.mp4 hd/1.m4s - | ffprobe -`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd.Context(), env, args[0], args[1]) },
	}
	cmd.Flags().StringArrayVar(&f.keys, "key", nil, "key ID and key, KID=KEY in hexadecimal; once for each key (required)")
	cmd.Flags().StringVar(&f.init, "init", "", "init segment of a file of fragments; init.mp4 beside it by default")
	cmd.Flags().BoolVar(&f.force, "force", false, "keep the result even when it is noise")
	_ = cmd.MarkFlagRequired("key") // the flag exists
	return cmd
}

func (f *decryptFlags) run(ctx context.Context, env *Env, from, to string) error {
	find, err := parseKeys(f.keys)
	if err != nil {
		return err
	}
	in, err := loadInit(from, f.init)
	if err != nil {
		return err
	}
	v, done, err := openView(env, from, content.ViewConfig{Init: in, Keys: find, Unchecked: f.force})
	if err != nil {
		return decryptError(from, err)
	}
	defer done()
	err = writeFile(env, to, func(w io.Writer) error {
		m := &metered{stopped: ctx.Err, w: w, total: v.Size()}
		p := &progress{env: env, start: env.Now(), line: decryptLine}
		if !v.Streamed() {
			m.show = p.show()
		}
		defer p.end()
		_, err := v.WriteTo(m)
		return err
	})
	if err != nil {
		return decryptError(from, err)
	}
	if left := v.Unproven(); len(left) > 0 && !f.force {
		fmt.Fprintf(env.Stderr, "lares: nothing in %s tells a wrong key from the right one for %s\n", from, kidList(left))
	}
	return nil
}

func decryptLine(done, total int64, spent time.Duration) string {
	return strings.Replace(progressLine(done, total, spent), "packing", "decrypting", 1)
}

func encryptLine(done, total int64, spent time.Duration) string {
	return strings.Replace(progressLine(done, total, spent), "packing", "encrypting", 1)
}

// decryptError gives a failure its exit status and its remedy.
func decryptError(file string, err error) error {
	if missing, ok := errors.AsType[*missingKey](err); ok {
		return refused("%s: %w%s", file, err, whatGives(file, missing.kid))
	}
	if errors.Is(err, content.ErrWrongKey) {
		return refused("%s: %w: check --key, or keep the result with --force", file, err)
	}
	return fmt.Errorf("%s: %w", file, err)
}

// whatGives says what license would give a key, where a content.json beside the
// file, or in the folder above, knows it.
func whatGives(file string, kid ident.Key) string {
	for _, dir := range []string{filepath.Dir(file), filepath.Dir(filepath.Dir(file))} {
		data, err := os.ReadFile(filepath.Join(dir, content.ManifestName))
		if err != nil {
			continue
		}
		m, err := content.ParseManifest(data)
		if err != nil {
			continue
		}
		for i := range m.Tracks {
			if t := &m.Tracks[i]; t.KID == kid {
				return fmt.Sprintf(": it is the key of tier %v of content %q, which a license for that tier gives (lares device get); such a license is played by lares device play", t.Tier, string(m.Content))
			}
		}
	}
	return ""
}

func kidList(kids []ident.Key) string {
	var s []string
	for _, k := range kids {
		s = append(s, k.String())
	}
	return strings.Join(s, ", ")
}

var errKeyFlag = errors.New("want KID=KEY, both of 32 hexadecimal digits")

// missingKey says that no --key has the key ID of a fragment.
type missingKey struct{ kid ident.Key }

func (*missingKey) Error() string { return "no --key was given" }

// parseKey reads KID=KEY; KID:KEY, as other tools write it, is the same.
func parseKey(s string) (ident.Key, cenc.ContentKey, error) {
	at := strings.IndexAny(s, "=:")
	var kid ident.Key
	if at < 0 {
		return kid, cenc.ContentKey{}, errKeyFlag
	}
	raw, err := hex.DecodeString(s[at+1:])
	defer clear(raw)
	if err != nil || kid.UnmarshalText([]byte(s[:at])) != nil {
		return kid, cenc.ContentKey{}, errKeyFlag
	}
	k, err := cenc.NewContentKey(raw)
	if err != nil {
		return kid, k, errKeyFlag
	}
	return kid, k, nil
}

func parseKeys(flags []string) (content.Keys, error) {
	keys := map[ident.Key]cenc.ContentKey{}
	for i, s := range flags {
		kid, k, err := parseKey(s)
		if err != nil {
			return nil, usage("--key number %d: %w", i+1, err)
		}
		keys[kid] = k
	}
	return func(kid ident.Key) (cenc.ContentKey, error) {
		if k, ok := keys[kid]; ok {
			return k, nil
		}
		return cenc.ContentKey{}, &missingKey{kid}
	}, nil
}
