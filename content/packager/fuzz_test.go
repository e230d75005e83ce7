package packager

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzVP9Ranges: whatever a sample's index says, the ranges cover the sample once.
func FuzzVP9Ranges(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, 300))
	f.Add(append(make([]byte, 300), 0xc9, 100, 0, 200, 0, 0xc9))   // a superframe of two
	f.Add(append(make([]byte, 300), 0xc9, 255, 255, 200, 0, 0xc9)) // and one that is longer than its sample
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, scheme := range []string{"cenc", "cbcs"} {
			subs, err := vp9Ranges(b, scheme)
			if err != nil {
				t.Fatal(err)
			}
			sum := 0
			for _, s := range subs {
				sum += int(s.BytesOfClearData) + int(s.BytesOfProtectedData)
				if scheme == "cenc" && s.BytesOfProtectedData%16 != 0 {
					t.Errorf("a range of %d bytes", s.BytesOfProtectedData)
				}
			}
			if sum != len(b) {
				t.Errorf("%s: ranges of %d bytes in a sample of %d", scheme, sum, len(b))
			}
		}
	})
}

// FuzzJournal: what is read as a resume file can be added to and read again.
func FuzzJournal(f *testing.F) {
	f.Add([]byte(""))
	f.Add([]byte(`{"format":1,"what":"w","seed":"0000000000000000000000000000000000000000000000000000000000000000"}` + "\n" + `{"name":"sd/1.m4s","bytes":1,"sha256":"00`))
	f.Fuzz(func(t *testing.T, b []byte) {
		name := filepath.Join(t.TempDir(), "resume")
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := openJournal(name, "w")
		if err != nil {
			return
		}
		n := len(j.done)
		l := doneLine{Protected: 1}
		l.Name = "a name of its own"
		if _, there := j.done[l.Name]; there {
			n--
		}
		if err := j.write(l); err != nil {
			t.Fatal(err)
		}
		if err := j.close(false); err != nil {
			t.Fatal(err)
		}
		again, err := openJournal(name, "w")
		if err != nil || len(again.done) != n+1 {
			t.Fatalf("%d lines, want %d (%v)", len(again.done), n+1, err)
		}
		_ = again.close(false)
	})
}
