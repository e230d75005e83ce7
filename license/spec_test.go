package license_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

var update = flag.Bool("update", false, "write the worked examples into the specification pages")

// checkPage holds the hexadecimal block of that name in a page against want.
func checkPage(t *testing.T, page, name string, want []byte) {
	t.Helper()
	path := "../docs/spec/" + page
	md, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```hex " + name + "\n(.*?)```")
	m := block.FindSubmatch(md)
	if m == nil {
		t.Fatalf("%s has no example %q", page, name)
	}
	if *update {
		var lines strings.Builder
		for i := 0; i < len(want); i += 48 {
			fmt.Fprintf(&lines, "%x\n", want[i:min(i+48, len(want))])
		}
		md = bytes.Replace(md, m[0], []byte("```hex "+name+"\n"+lines.String()+"```"), 1)
		if err := os.WriteFile(path, md, 0o644); err != nil { //nolint:gosec // a page of documentation
			t.Fatal(err)
		}
		return
	}
	got, err := hex.DecodeString(strings.Join(strings.Fields(string(m[1])), ""))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s, example %q:\n got %x\nwant %x", page, name, got, want)
	}
}

const exampleText = "PLAY; START_TIME=2026-01-01T00:00:00Z; END_TIME=2026-02-01T00:00:00Z; INTERVAL=48h; PLAY_COUNT=2; EXPORT=clearkey; CHARGE=RENTAL"

// example is the license of docs/spec/license.md.
func example(t *testing.T) *license.License {
	return newLicense(t, exampleText, withUHD(t, license.OutputRules{Digital: permission.ProtectHDCP22, MinLevel: 2}),
		policy(func(p *license.Policy) { p.Duration, p.StorageDuration = 2*hour, 30*day }))
}

func must(t *testing.T) func([]byte, error) []byte {
	return func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

func TestLicense_1_WorkedExamples(t *testing.T) {
	lic := example(t)
	checkPage(t, "license.md", "info", must(t)(wire.Marshal(lic.Info())))
	checkPage(t, "license.md", "license", lic.Bytes())
	hash := lic.Hash()
	checkPage(t, "license.md", "hash", hash[:])

	secret, err := cenc.NewContentKey(key(license.TierSD))
	if err != nil {
		t.Fatal(err)
	}
	bundle := license.KeyBundle{License: hash, Keys: []license.BundleKey{{KID: sdKID, Key: secret}}}
	checkPage(t, "license.md", "bundle", must(t)(bundle.Encode()))

	device := ident.Device(bytes.Repeat([]byte{1}, 16))
	info, err := license.Derive(lic, license.Derivation{Device: device, Plays: 1, Now: day0 + day + hour, State: license.State{FirstUse: day0 + day}})
	if err != nil {
		t.Fatal(err)
	}
	checkPage(t, "license.md", "allowance", must(t)(wire.Marshal(info)))

	d := lic.Evaluate(at(day0 - day))
	checkPage(t, "license.md", "decision", must(t)(d.Encode()))
}

func TestState_WorkedExample(t *testing.T) {
	lic := example(t)
	v := newViewer(t, lic, day0+day)
	v.must(v.begin(0))
	v.must(v.play(0, 65*second))
	s, err := lic.Give(v.durable, license.Share{Plays: 1})
	if err != nil {
		t.Fatal(err)
	}
	checkPage(t, "state.md", "state", must(t)(s.Encode()))
}

// Every policy key and output rule of the page has its number in the code, and
// the other way round.
func TestLicense_1_PolicyTable(t *testing.T) {
	md, err := os.ReadFile("../docs/spec/license.md")
	if err != nil {
		t.Fatal(err)
	}
	section := string(md[bytes.Index(md, []byte("## Policy keys")):bytes.Index(md, []byte("## Output rules"))])
	rows := regexp.MustCompile(`(?m)^\| (\d+) \| (\w+) \| (.*?) \|`).FindAllStringSubmatch(section, -1)
	if len(rows) < 20 {
		t.Fatalf("%d rows", len(rows))
	}
	on := map[uint64]bool{}
	for _, r := range rows {
		var k uint64
		if _, err := fmt.Sscan(r[1], &k); err != nil {
			t.Fatal(err)
		}
		lic := inspectPolicy(t, k)
		if lic.Info().Policy.Other != nil {
			t.Errorf("key %d (%s) of the page is not known to the code", k, r[2])
		}
		on[k] = true
	}
	for k := uint64(1); k < 64; k++ {
		if known := inspectPolicy(t, k).Info().Policy.Other == nil; known != on[k] {
			t.Errorf("key %d: in the code %v, on the page %v", k, known, on[k])
		}
	}
}

// inspectPolicy makes a license with one policy key, of value 1, true or 1 s.
func inspectPolicy(t *testing.T, k uint64) *license.License {
	t.Helper()
	value := wire.RawMessage{0x01}
	switch k {
	case 7: // after the issue
		value = must(t)(wire.Marshal(day0 + day))
	case 19:
		value = wire.RawMessage{0x19, 0x03, 0xe8}
	case 23:
		value = wire.RawMessage{0xf5}
	case 2, 35, 37, 39, 41: // maps of defaults
		value = wire.RawMessage{0xa0}
	case 43, 47, 49:
		value = wire.RawMessage{0xa1, 0x01, 0x01}
	case 45:
		value = wire.RawMessage{0xa2, 0x01, 0x01, 0x02, 0x61, 'x'}
	case 6:
		value = append(wire.RawMessage{0x50}, make([]byte, 16)...)
	}
	raw := must(t)(wire.Marshal(map[uint64]wire.RawMessage{k: value}))
	payload := must(t)(wire.Marshal(newInfo(t, "PLAY")))
	var fields map[uint64]wire.RawMessage
	if err := wire.Unmarshal(payload, &fields, wire.Limit{}); err != nil {
		t.Fatal(err)
	}
	fields[8] = raw
	data := must(t)(wire.NewSign1(fixedKey(t, 7), []byte("certificate"), license.Object, must(t)(wire.Marshal(fields))))
	lic, err := license.Inspect(data)
	if err != nil {
		t.Fatalf("key %d: %v", k, err)
	}
	return lic
}
