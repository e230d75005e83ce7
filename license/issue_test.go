package license_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license"
)

// What Issue gives is what Parse makes of the same bytes.
func TestLicense_1_IssueIsSignAndParse(t *testing.T) {
	issued, err := license.Issue(fixedKey(t, 7), []byte("certificate"), newInfo(t, "PLAY; INTERVAL=48h"))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := license.Parse(issued.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if issued.Hash() != parsed.Hash() || issued.X5T() != parsed.X5T() {
		t.Error("another license hash or certificate")
	}
	if d := cmp.Diff(parsed.Info(), issued.Info()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(parsed.Units(), issued.Units()); d != "" {
		t.Error(d)
	}
}
