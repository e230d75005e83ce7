package module_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/module"
)

// pieces keeps each write of a module as it came.
type pieces struct {
	io.Reader
	writes [][]byte
}

func (p *pieces) Write(b []byte) (int, error) {
	p.writes = append(p.writes, bytes.Clone(b))
	return len(b), nil
}

// TestTREM_1_CommandsThatWaitAreAnsweredTogether: of twenty commands that are there at
// once, eight are answered with one write, in order, and the last ones with the end of
// the stream; a message that was cut is not waited for.
func TestTREM_1_CommandsThatWaitAreAnsweredTogether(t *testing.T) {
	var in []byte
	for n := range 20 {
		cmd, body := trem.CmdStatus, any(trem.None{})
		if n%2 == 1 {
			cmd, body = trem.CmdRelease, trem.Release{} // refused: not enrolled
		}
		header, err := trem.NewRequest(cmd, body)
		if err != nil {
			t.Fatal(err)
		}
		if in, err = trem.AppendHead(in, trem.Message{Header: header}); err != nil {
			t.Fatal(err)
		}
	}
	conn := &pieces{Reader: bytes.NewReader(in)}
	if err := module.Run(module.Config{Dir: t.TempDir(), Conn: conn, Clock: (&clock{}).read}); err != nil {
		t.Fatal(err)
	}
	if len(conn.writes) != 3 {
		t.Errorf("%d writes for 20 commands, want 3", len(conn.writes))
	}
	r := bytes.NewReader(bytes.Join(conn.writes, nil))
	for n := range 20 {
		m, err := trem.ReadMessage(r)
		if err != nil {
			t.Fatalf("reply %d: %v", n, err)
		}
		if items, err := wire.Array(m.Header, 2, 2, wire.Limit{Items: 4096}); err != nil || (items[0][0] == 0) != (n%2 == 0) {
			t.Errorf("reply %d: %x, %v", n, m.Header, err)
		}
	}
	if r.Len() > 0 {
		t.Errorf("%d bytes behind the last reply", r.Len())
	}
}
