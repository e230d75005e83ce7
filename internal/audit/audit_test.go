package audit_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/lares-drm/lares/internal/audit"
)

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// chain is n entries, the first of the worked example.
func chain(n int) (all []audit.Entry) {
	var prev audit.Hash
	for i := range n {
		e := audit.Entry{Seq: uint64(i) + 1, At: 1_795_521_600_000 + int64(i)*3_600_000, Actor: "owner", Action: "grant.revoke", Subject: "30000000000000000000000000000000/01010101010101010101010101010101", Prev: prev}
		prev = e.Hash()
		all = append(all, e)
	}
	return all
}

// export writes entries as the issuer does, with a head after each tenth.
func export(t testing.TB, key *ecdsa.PrivateKey, all []audit.Entry) []byte {
	t.Helper()
	var b bytes.Buffer
	put := func(l audit.Line) {
		data, err := l.Encode()
		if err != nil {
			t.Fatal(err)
		}
		b.Write(data)
	}
	head := func(day string, e audit.Entry) {
		signed, err := audit.Head{Day: day, Seq: e.Seq, Hash: e.Hash(), At: e.At}.Sign(key)
		if err != nil {
			t.Fatal(err)
		}
		put(audit.Line{Head: signed})
	}
	first, err := audit.First("shop", key.Public())
	if err != nil {
		t.Fatal(err)
	}
	put(first)
	for i := range all {
		put(audit.Line{Entry: &all[i]})
		if i%10 == 9 {
			head(audit.Day(all[i].At), all[i])
		}
	}
	head("", all[len(all)-1])
	return b.Bytes()
}

func TestAudit_2_WorkedExample(t *testing.T) {
	page, err := os.ReadFile("../../docs/spec/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	e := chain(1)[0]
	h := e.Hash()
	if !strings.Contains(string(page), hex.EncodeToString(h[:])) {
		t.Errorf("docs/spec/audit.md does not have the hash %v of its example", h)
	}
}

func TestAudit_4_AWholeExportHolds(t *testing.T) {
	key := newKey(t)
	for _, n := range []int{1, 10, 25} {
		got, err := audit.VerifyExport(bytes.NewReader(export(t, key, chain(n))), key.Public())
		if err != nil || len(got.Faults) != 0 || got.Entries != uint64(n) || got.Heads != n/10+1 {
			t.Errorf("%d entries: %+v, %v", n, got, err)
		}
	}
}

// Each way of changing a log is found, in the file and, with the chain made
// anew behind the change, by the signed heads.
func TestAudit_4_Tampering(t *testing.T) {
	key, other := newKey(t), newKey(t)
	relink := func(all []audit.Entry) []audit.Entry {
		var prev audit.Hash
		for i := range all {
			all[i].Seq, all[i].Prev = uint64(i)+1, prev
			prev = all[i].Hash()
		}
		return all
	}
	lines := func() [][]byte { return bytes.SplitAfter(export(t, key, chain(25)), []byte("\n")) }
	entry := func(all [][]byte, seq string) int {
		return slices.IndexFunc(all, func(l []byte) bool { return bytes.Contains(l, []byte(`"seq":`+seq+`,`)) })
	}
	// forged replaces the entries and leaves the true heads.
	forged := func(all []audit.Entry) []byte {
		out := lines()
		kept := out[:1:1]
		n := 0
		for _, l := range out[1:] {
			if bytes.Contains(l, []byte(`"entry"`)) {
				if n < len(all) {
					data, err := (&audit.Line{Entry: &all[n]}).Encode()
					if err != nil {
						t.Fatal(err)
					}
					l = data
					n++
				} else {
					continue
				}
			}
			kept = append(kept, l)
		}
		return bytes.Join(kept, nil)
	}
	for name, tc := range map[string]struct {
		file []byte
		want string
	}{
		"changed": {bytes.Replace(export(t, key, chain(25)), []byte(`"seq":7,"at":1795543200000,"actor":"owner"`), []byte(`"seq":7,"at":1795543200000,"actor":"thief"`), 1), "was changed"},
		"dropped": {func() []byte { l := lines(); i := entry(l, "7"); return bytes.Join(slices.Delete(l, i, i+1), nil) }(), "entries 7 to 7 are missing"},
		"reordered": {func() []byte {
			l := lines()
			i, j := entry(l, "7"), entry(l, "8")
			l[i], l[j] = l[j], l[i]
			return bytes.Join(l, nil)
		}(), "missing"},
		"doubled":                   {func() []byte { l := lines(); i := entry(l, "7"); return bytes.Join(slices.Insert(l, i, l[i]), nil) }(), "doubled"},
		"truncated":                 {func() []byte { l := lines(); return bytes.Join(l[:20], nil) }(), "cut off"},
		"last entry dropped":        {func() []byte { l := lines(); i := entry(l, "25"); return bytes.Join(slices.Delete(l, i, i+1), nil) }(), "cut off"},
		"beginning cut off":         {func() []byte { l := lines(); return bytes.Join(slices.Delete(l, 1, 2), nil) }(), "missing"},
		"changed and linked anew":   {forged(func() []audit.Entry { a := chain(25); a[6].Actor = "thief"; return relink(a) }()), "the head of"},
		"dropped and linked anew":   {forged(relink(slices.Delete(chain(25), 6, 7))), "the head of"},
		"truncated and linked anew": {forged(chain(5)), "cut off"},
		"head of another key": {func() []byte {
			l := lines()
			data, err := (audit.Head{Seq: 25, Hash: chain(25)[24].Hash(), At: 1}).Sign(other)
			if err != nil {
				t.Fatal(err)
			}
			line, err := (&audit.Line{Head: data}).Encode()
			if err != nil {
				t.Fatal(err)
			}
			l[len(l)-2] = line
			return bytes.Join(l, nil)
		}(), "signature does not hold"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := audit.VerifyExport(bytes.NewReader(tc.file), nil)
			if err != nil || !slices.ContainsFunc(got.Faults, func(f audit.Fault) bool { return strings.Contains(f.What, tc.want) }) {
				t.Errorf("%+v, %v; want a fault with %q", got.Faults, err, tc.want)
			}
		})
	}
	if _, err := audit.VerifyExport(bytes.NewReader(export(t, other, chain(3))), key.Public()); err == nil {
		t.Error("a log that was written anew under another key passes for who has the key")
	}
}

func FuzzAuditExport(f *testing.F) {
	key := newKey(f)
	f.Add(export(f, key, chain(3)))
	f.Add([]byte(`{"format":"lares/1/audit-export","issuer":"shop"}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		audit.VerifyExport(bytes.NewReader(data), nil) //nolint:errcheck // it must end without a panic
		line, _, _ := bytes.Cut(data, []byte("\n"))
		l, err := audit.ParseLine(line)
		if err != nil {
			return
		}
		again, err := l.Encode()
		if err != nil || !bytes.Equal(again, append(line, '\n')) {
			t.Errorf("%q encodes as %q, %v", line, again, err)
		}
	})
}

// The committed export is one that a stranger can try a reader of their own on.
func TestAudit_4_CommittedExportHolds(t *testing.T) {
	data, err := os.ReadFile("testdata/export.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	got, err := audit.VerifyExport(bytes.NewReader(data), nil)
	if err != nil || len(got.Faults) != 0 || got.Entries != 12 || got.Heads != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}
