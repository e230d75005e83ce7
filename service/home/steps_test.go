package home_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lares-drm/lares/security/revocation"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

// publisher is an authority at an epoch; asked counts what it is asked for.
type publisher struct {
	epoch uint64
	away  bool
	asked map[string]int
}

func (p *publisher) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.asked[r.URL.Path]++
	switch {
	case p.away, strings.HasPrefix(r.URL.Path, home.PathDelta+"/1/"): // of the first epoch it has no step any more
		w.WriteHeader(http.StatusNotFound)
	case r.URL.Path == home.PathHead:
		h := make([]byte, revocation.HeadLen)
		h[0] = 1
		binary.BigEndian.PutUint64(h[10:], p.epoch)
		binary.BigEndian.PutUint64(h[18:], 1<<41)
		binary.BigEndian.PutUint64(h[26:], 1<<41+1)
		h[37] = 1
		_, _ = w.Write(h)
	default:
		_, _ = fmt.Fprint(w, r.URL.Path)
	}
}

// TestPKI_2_HouseKeepsTheLastSteps: devices of the house go from state to state by
// its steps, also while the authority is away and after a restart.
func TestPKI_2_HouseKeepsTheLastSteps(t *testing.T) {
	p := &publisher{epoch: 1, asked: map[string]int{}}
	srv := httptest.NewServer(p)
	defer srv.Close()
	dir := t.TempDir()
	relay := func() *home.Relay {
		r, err := home.NewRelay(dir, srv.URL, nil, newClock().Now)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := relay()
	for ; p.epoch <= 70; p.epoch++ {
		if err := r.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	p.epoch--
	step := func(from, to uint64, want bool) {
		t.Helper()
		c, err := r.Delta(t.Context(), fmt.Sprint(from), fmt.Sprint(to))
		if want && (err != nil || string(c.Body) != fmt.Sprintf("%s/%d/%d", home.PathDelta, from, to)) || !want && !errors.Is(err, home.ErrAway) {
			t.Errorf("step %d to %d: %q, %v", from, to, c.Body, err)
		}
	}
	step(1, 70, false) // the authority has none
	p.away = true
	r = relay() // from disk
	step(69, 70, true)
	step(6, 7, true)
	step(5, 6, false) // the 65th before
	step(68, 70, false)
	p.away = false
	step(68, 70, true) // asked for, and kept
	p.away = true
	step(68, 70, true)
	if got := p.asked[home.PathDelta+"/68/70"]; got != 2 {
		t.Errorf("asked %d times for a step, want 2: away, then once", got)
	}
	for _, bad := range [][2]string{{"70", "69"}, {"1", "1"}, {"x", "2"}, {"-1", "2"}, {"1", ""}} {
		if _, err := r.Delta(t.Context(), bad[0], bad[1]); !errors.Is(err, home.ErrUnknown) {
			t.Errorf("step %v: %v", bad, err)
		}
	}
}

// stepper is an authority whose steps fit or do not.
type stepper struct{ asked []uint64 }

func (s *stepper) State(_ context.Context, have uint64) (trem.Learned, error) {
	s.asked = append(s.asked, have)
	if have > 0 {
		return trem.Learned{Head: []byte("head"), Delta: []byte("step")}, nil
	}
	return trem.Learned{Head: []byte("head"), Snapshot: []byte("state")}, nil
}

func (*stepper) Time(_ context.Context, nonce []byte) (trem.Learned, error) {
	return trem.Learned{Time: nonce}, nil
}

// unfit is a module that refuses steps.
type unfit struct{ *hometest.Module }

func (u unfit) Learn(ctx context.Context, l trem.Learned) error {
	if len(l.Delta) > 0 {
		return &trem.Error{Code: trem.CodeRejected, Text: "revocation: root"}
	}
	return u.Module.Learn(ctx, l)
}

// TestPKI_2_HouseTakesTheStateWhereAStepDoesNotFit: and nothing else is lost by it.
func TestPKI_2_HouseTakesTheStateWhereAStepDoesNotFit(t *testing.T) {
	for _, fits := range []bool{true, false} {
		m, a := hometest.New(t, nil), &stepper{}
		m.State.Epoch = 5
		h := open(t, t.TempDir(), m, newClock(), func(c *home.Config) {
			c.Authority = a
			if !fits {
				c.Module = unfit{m}
			}
		})
		if err := h.Learn(t.Context()); err != nil {
			t.Fatal(err)
		}
		m.Lock()
		last := m.Learned[len(m.Learned)-1]
		m.Unlock()
		if fits != (len(last.Delta) > 0) || fits == (len(last.Snapshot) > 0) || len(a.asked) != map[bool]int{true: 1, false: 2}[fits] || a.asked[0] != 5 {
			t.Errorf("fits %v: learned %+v, asked %v", fits, last, a.asked)
		}
	}
}
