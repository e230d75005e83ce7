package example_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/lares-drm/lares/interconnect/adapt"
	"github.com/lares-drm/lares/interconnect/adapt/adapttest"
	"github.com/lares-drm/lares/interconnect/adapt/example"
	"github.com/lares-drm/lares/license/permission"
)

// snippet: conforms

func TestAdapt_2_ExampleConforms(t *testing.T) {
	adapttest.Run(t, adapttest.Config{
		Adapter:  example.Adapter{},
		Rights:   [][]byte{[]byte("VendorX-Rights: 1\nTitle: film\nUntil: 2027-01-01T00:00:00Z\nPlays: 3\nQuality: hd\nGuests: yes\n")},
		NoRights: [][]byte{[]byte("VendorX-Rights: 1\n")},
		Malformed: [][]byte{
			[]byte("VendorX-Rights: 2\nPlays: 3\n"), []byte("VendorX-Rights: 1\nPlays: 3\nPlays: 4\n"), []byte("VendorX-Rights: 1\nPlays: 03\n"),
			[]byte("VendorX-Rights: 1\nUntil: tomorrow\n"), []byte("VendorX-Rights: 1\n\n"),
		},
	})
}

// end snippet

// What must be understood and is not refuses the document.
func TestExample_UnknownIsRefusedOrDropped(t *testing.T) {
	if _, err := (example.Adapter{}).Import(t.Context(), []byte("VendorX-Rights: 1\n!Region: AT\n")); !errors.Is(err, adapt.ErrUnknown) {
		t.Errorf("a field that must be understood: %v, want ErrUnknown", err)
	}
	if p, err := (example.Adapter{}).Import(t.Context(), []byte("VendorX-Rights: 1\nColor: red\n")); err != nil || p.Code == nil {
		t.Errorf("a field that need not be: %v", err)
	}
	lic := adapttest.License(t, "PLAY; RESOLUTION<=10000; EXPORT=vendorx")
	if _, _, err := (example.Adapter{}).Export(t.Context(), lic); !errors.Is(err, adapt.ErrNotExportable) {
		t.Errorf("a quality that the format has no word for: %v", err)
	}
}

var (
	snippet = regexp.MustCompile(`(?s)// snippet: (\w+)\n(.*?)// end snippet`)
	block   = regexp.MustCompile("(?s)<!-- (\\w+) -->\n```go\n(.*?)```")
)

// TestExample_TheGuideHasThisCode: each block of the guide is the code between
// its marks here, and each marked code is in the guide.
func TestExample_TheGuideHasThisCode(t *testing.T) {
	code := map[string]string{}
	for _, name := range []string{"vendorx.go", "vendorx_test.go"} {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range snippet.FindAllStringSubmatch(string(src), -1) {
			code[m[1]] = strings.TrimSpace(m[2])
		}
	}
	guide, err := os.ReadFile("../../../docs/guide/adapter.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range block.FindAllStringSubmatch(string(guide), -1) {
		if want, ok := code[m[1]]; !ok || strings.TrimSpace(m[2]) != want {
			t.Errorf("the guide's block %s is not the code of the package", m[1])
		}
		delete(code, m[1])
	}
	for name := range code {
		t.Errorf("the guide does not show %s", name)
	}
}

func FuzzImport(f *testing.F) {
	f.Add([]byte("VendorX-Rights: 1\nPlays: 3\nUntil: 2027-01-01T00:00:00Z\n"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		p, err := example.Adapter{}.Import(t.Context(), doc)
		if err != nil {
			return
		}
		if _, err := permission.Parse(p.Code); err != nil {
			t.Errorf("proposed a code that is none: %v", err)
		}
	})
}

func Example() {
	p, err := example.Adapter{}.Import(context.Background(), []byte("VendorX-Rights: 1\nTitle: film\nPlays: 3\nGuests: yes\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	units, err := permission.Parse(p.Code)
	fmt.Println(units.Text(), err)
	fmt.Println(p.Loss[0].Right, p.Loss[0].Effect)
	// Output:
	// PLAY; PLAY_COUNT=3 <nil>
	// Guests dropped
}
