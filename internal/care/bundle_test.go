package care

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// secrets are what nobody who helps may read.
var secrets = []string{
	"Metropolis", "urn:film:metropolis", "s3cr3t-t0ken", "shop.example", "192.168.7.9", "/home/maria", "maria", "abandon ability able",
	"6d657472-6f70", "living-room", "deadbeefcafe0123",
}

// tell is a text with everything in it that must not come out.
func tell() string { return strings.Join(secrets, " ") }

// TestBundle_NothingOfTheHouseIsInIt puts titles, names, addresses and secrets
// wherever a string can be, and finds none of them in the bundle.
func TestBundle_NothingOfTheHouseIsInIt(t *testing.T) {
	id := ident.Device{0xde, 0xad, 0xbe, 0xef, 0xca, 0xfe, 0x01, 0x23}
	bad := errors.New(tell())
	f := &Facts{
		Kind: Home, Dir: tell(), Now: noon, Files: Files{Exposed: []string{tell()}, Foreign: []string{tell()}, Err: bad}, Disk: Disk{Err: bad},
		Port: &Port{Serves: true, Addr: tell(), Err: bad}, Discovery: &Discovery{Open: true, Err: bad}, Peers: []Peer{{Name: tell(), URL: tell(), Err: bad}},
		Stores: []Store{{Name: tell(), Err: bad}},
		Player: &Player{Err: bad, Status: trem.Status{
			Device: id, Role: "home server", Domain: ident.Domain(id[:16]), Issuer: ident.Issuer("shop.example"), Twins: []ident.Device{id},
			Walls: []trem.Wall{{Name: "no dump", Stands: true, Detail: tell()}}, Outputs: []trem.Connector{{Name: tell()}}, Leaf: []byte(tell()),
		}},
	}
	log := strings.Join([]string{
		`time=2026-11-28T12:00:00.000Z level=INFO msg="license issued" license=deadbeefcafe0123 title="Metropolis for=3" taken=2`,
		`time=2026-11-28T12:00:01.000Z level=WARN msg="Metropolis at 192.168.7.9: gone" error="s3cr3t-t0ken"`,
		`time=2026-11-28T12:00:02.000Z level=WARN msg="http: Metropolis" n=4`,
		`time=maria level=WARN msg=x`,
		tell(),
		`panic: ` + tell(),
		``,
		`goroutine 17 [running]:`,
		`github.com/lares-drm/lares/service/home.(*Home).Play(0xc000, {0xdeadbeefcafe0123, 0x8})`,
		"\t/home/maria/lares/service/home/plays.go:88 +0x1d",
		"\t/home/maria/" + tell() + ".go",
	}, "\n")
	kept, err := RedactLog(strings.NewReader(log))
	if err != nil {
		t.Fatal(err)
	}
	want := `2026-11-28T12:00:00Z INFO  license issued taken=2
2026-11-28T12:00:01Z WARN  (left out)
2026-11-28T12:00:02Z WARN  (left out) n=4
panic
goroutine 17 [running]:
github.com/lares-drm/lares/service/home.(*Home).Play()
	plays.go:88
(4 lines left out)
`
	if string(kept) != want {
		t.Errorf("of the log is kept:\n%s\nwant:\n%s", kept, want)
	}
	text := written(t, &Bundle{Made: noon, Program: map[string]string{"version": "1"}, Folders: []Report{ReportOf(f)}, Log: kept})
	for _, s := range append(secrets, hex.EncodeToString(id[:8]), hex.EncodeToString([]byte("shop.example"))) {
		if strings.Contains(strings.ToLower(text), strings.ToLower(s)) {
			t.Errorf("the bundle holds %q", s)
		}
	}
	for _, s := range []string{`"role": "home server"`, `"exposed": 1`, `"peers_away": 1`, `"no dump": true`, "license issued", "plays.go:88"} {
		if !strings.Contains(text, s) {
			t.Errorf("the bundle lacks %s", s)
		}
	}
}

// written is everything in the archive, names of files included.
func written(t *testing.T, b *Bundle) string {
	t.Helper()
	var out bytes.Buffer
	if err := b.Write(&out); err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestBundle_LogMessagesAreConstants: RedactLog keeps messages, so none of the
// program's may be made of anything.
func TestBundle_LogMessagesAreConstants(t *testing.T) {
	calls := 0
	set := token.NewFileSet()
	err := filepath.WalkDir("../..", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2) {
			return filepath.SkipDir
		}
		if filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || sel.Sel.Name != "LogAttrs" || len(call.Args) < 3 {
				return true
			}
			calls++
			if lit, ok := call.Args[2].(*ast.BasicLit); !ok || lit.Kind != token.STRING {
				t.Errorf("%s: the message is no constant", set.Position(call.Pos()))
			}
			return true
		})
		return nil
	})
	if err != nil || calls < 40 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

func FuzzRedactLog(f *testing.F) {
	f.Add("time=2026-11-28T12:00:00.000Z level=INFO msg=\"license issued\" taken=2 x=\"deadbeef\"")
	f.Add("goroutine 1 [running]:\nmain.main()\n\t/x/y.go:3 +0x1")
	f.Fuzz(func(t *testing.T, line string) {
		out, err := RedactLog(strings.NewReader(line))
		if err != nil {
			return
		}
		if len(out) > maxLogOut+64 || bytes.ContainsAny(out, "@\\%&<>") {
			t.Errorf("%q is kept as %q", line, out)
		}
	})
}
