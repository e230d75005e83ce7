package module_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/revocation"
	"github.com/lares-drm/lares/security/trem"
)

// TestAttack_FuzzedCommandPort is a host that sends anything to a module in a
// process of its own: commands that were changed, cut, or never were any. No
// answer holds a title key, and no license is gained or lost. A stream that is
// no stream of messages ends the module, which starts again as it was.
func TestAttack_FuzzedCommandPort(t *testing.T) {
	own, _ := users(t)
	th := newTheater(t)
	th.tablet.settle(own)
	before, err := th.tablet.Licenses(t.Context())
	th.must(err)
	th.tablet.shut()
	rounds := 4000
	if testing.Short() {
		rounds = 400
	}
	f := &fuzzedPort{t: t, b: th.tablet, keys: th.keys, r: rand.New(rand.NewPCG(6, 1))}
	f.open()
	corpus := f.corpus(th.s)
	for i := range rounds {
		f.send(f.bend(corpus[i%len(corpus)]))
	}
	f.close()
	t.Logf("%d messages, %d answers, %d restarts", rounds, f.answers, f.restarts)
	if f.answers < rounds/2 || f.restarts == 0 {
		t.Error("the port was hardly used")
	}
	th.tablet.spawn()
	t.Cleanup(func() { _ = th.tablet.Close(); _ = th.tablet.wait() })
	after, err := th.tablet.Licenses(t.Context())
	th.must(err)
	if len(after) != len(before) || after[0].Hash != before[0].Hash {
		t.Errorf("%d licenses before, %d after", len(before), len(after))
	}
	th.must(th.learnTime(th.tablet))
	_, err = th.tablet.play(th.s, content.SD, playAsk(content.SD), 0)
	th.must(err)
}

// fuzzedPort sends damaged messages to one module.
type fuzzedPort struct {
	t                 *testing.T
	b                 *box
	keys              map[string][]byte
	r                 *rand.Rand
	conn              net.Conn
	answers, restarts int
}

func (f *fuzzedPort) open() {
	ours, theirs := pair(f.t)
	conn, err := net.FileConn(ours)
	if err != nil {
		f.t.Fatal(err)
	}
	_ = ours.Close()
	f.conn = conn
	f.b.stderr = io.Discard
	f.b.launch(theirs)
}

func (f *fuzzedPort) close() {
	_ = f.conn.Close()
	_ = f.b.wait()
}

// corpus is one message of each command, some with a body that is right.
func (f *fuzzedPort) corpus(s *stuff) (out []trem.Message) {
	ask := playAsk(content.HD)
	track := &s.m.Tracks[0]
	bodies := map[trem.Command]any{
		trem.CmdBegin: ask, trem.CmdEvaluate: ask, trem.CmdTrack: trem.Part{Session: 1}, trem.CmdDecrypt: trem.Part{Session: 1},
		trem.CmdEnd: trem.Part{Session: 1}, trem.CmdLinkKeys: trem.Part{Session: 1}, trem.CmdReceive: trem.SLTPMessage{Bytes: []byte{1}},
		trem.CmdOpen: trem.LicenseRequest{Content: filmID, Request: ident.NewRequest()}, trem.CmdKeys: []byte{1, 2, 3}, trem.CmdLearn: trem.Learned{Head: []byte{1}},
	}
	for cmd := range trem.Command(50) {
		body, ok := bodies[cmd]
		if !ok {
			body = trem.None{}
		}
		header, err := wire.Marshal([]any{1, cmd, body})
		if err != nil {
			f.t.Fatal(err)
		}
		m := trem.Message{Header: header}
		switch cmd {
		case trem.CmdTrack:
			m.Payload = s.read(f.t, track.Init)
		case trem.CmdDecrypt:
			m.Payload = s.read(f.t, track.Segments[0].File)
		}
		out = append(out, m)
	}
	return out
}

// bend damages a message, or leaves it as it is.
func (f *fuzzedPort) bend(m trem.Message) []byte {
	head, load := bytes.Clone(m.Header), bytes.Clone(m.Payload)
	for range f.r.IntN(4) {
		part := &head
		if len(load) > 0 && f.r.IntN(2) == 0 {
			part = &load
		}
		if len(*part) == 0 {
			continue
		}
		switch i := f.r.IntN(len(*part)); f.r.IntN(4) {
		case 0:
			(*part)[i] ^= 1 << f.r.IntN(8)
		case 1:
			*part = (*part)[:i]
		case 2:
			*part = slices.Insert(*part, i, byte(f.r.Uint32()))
		case 3:
			(*part)[i] = byte(f.r.Uint32())
		}
	}
	lengths := [2]uint32{uint32(len(head)), uint32(len(load))}
	if f.r.IntN(100) == 0 { // a length that lies
		lengths[f.r.IntN(2)] = f.r.Uint32()
	}
	out := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, lengths[0]), lengths[1])
	return append(append(out, head...), load...)
}

// send gives a message to the module, and looks at the answer. A module that
// waits for more, or has ended, is started again.
func (f *fuzzedPort) send(m []byte) {
	f.t.Helper()
	if err := f.conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		f.t.Fatal(err)
	}
	lies := int(binary.BigEndian.Uint32(m))+int(binary.BigEndian.Uint32(m[4:]))+8 != len(m)
	_, err := f.conn.Write(m)
	if err == nil && lies {
		err = io.ErrUnexpectedEOF // it waits for what never comes
	}
	var got trem.Message
	if err == nil {
		got, err = trem.ReadMessage(f.conn)
	}
	if err != nil {
		if !lies {
			f.t.Fatalf("a whole message ends the module: %x: %v", m[:min(len(m), 200)], err)
		}
		f.close()
		f.restarts++
		f.open()
		return
	}
	f.answers++
	for name, key := range f.keys {
		if bytes.Contains(got.Header, key) || bytes.Contains(got.Payload, key) {
			f.t.Fatalf("the %s key is in an answer to %x", name, m)
		}
	}
}

// TestAttack_HostLiesAboutTime: the host carries time tokens, and that is all it
// has to do with time. Tokens that were not signed for this module, now, by the
// time signer move nothing.
func TestAttack_HostLiesAboutTime(t *testing.T) {
	h := newHouse(t)
	ctx := context.Background()
	lo := func() int64 {
		s, err := h.tablet.Status(ctx)
		h.must(err)
		return s.Clock.Lo
	}
	nonce := func() [16]byte {
		n, err := h.tablet.Nonce(ctx)
		h.must(err)
		return [16]byte(n)
	}
	sign := func(p *pkitest.Party, at time.Time, n [16]byte) []byte {
		token, err := revocation.SignTime(p.Key, p.Leaf(), at, n)
		h.must(err)
		return token
	}
	before := lo()
	rogue := h.pki.Party(pki.Device)
	hour := h.now.Add(time.Hour)
	for name, lie := range map[string]func(n [16]byte) trem.Learned{
		"of an older question": func([16]byte) trem.Learned {
			old := nonce()
			nonce()
			return trem.Learned{Time: sign(h.times, hour, old), TimeChain: h.times.Chain}
		},
		"of no question": func([16]byte) trem.Learned {
			return trem.Learned{Time: sign(h.times, hour, [16]byte{}), TimeChain: h.times.Chain}
		},
		"of a device": func(n [16]byte) trem.Learned { return trem.Learned{Time: sign(rogue, hour, n), TimeChain: rogue.Chain} },
		"of another name": func(n [16]byte) trem.Learned {
			return trem.Learned{Time: sign(rogue, hour, n), TimeChain: h.times.Chain}
		},
		"changed": func(n [16]byte) trem.Learned {
			token := sign(h.times, hour, n)
			token[len(token)-1] ^= 1
			return trem.Learned{Time: token, TimeChain: h.times.Chain}
		},
		"two years ahead": func(n [16]byte) trem.Learned {
			return trem.Learned{Time: sign(h.times, h.now.AddDate(2, 0, 0), n), TimeChain: h.times.Chain}
		},
	} {
		if err := h.tablet.Learn(ctx, lie(nonce())); err == nil {
			t.Errorf("a token %s is believed", name)
		}
		if got := lo(); got != before {
			t.Errorf("a token %s moved the time from %d to %d", name, before, got)
		}
	}
	n := nonce()
	if err := h.tablet.Learn(ctx, trem.Learned{Time: sign(h.times, hour, n), TimeChain: h.times.Chain}); err != nil || lo() <= before {
		t.Errorf("a token that is right is not believed, so the test cannot fail: %v", err)
	}
}

// TestAttack_HostLiesAboutOutputs: what goes to a browser goes there encrypted,
// and only where the license says so; no claim of the host changes that.
func TestAttack_HostLiesAboutOutputs(t *testing.T) {
	h := newHouse(t)
	s := h.stock(cenc.SchemeCENC, filmID)
	h.wantKinds(h.buy(filmID, h.sell("PLAY", filmID)), trem.EventInstalled)
	h.must(h.pair(h.tablet))
	h.get(h.tablet, filmID, 0)
	ask := playAsk(content.HD)
	ask.Output = trem.OutputLink
	var no *trem.RefusalError
	if _, err := h.tablet.Begin(t.Context(), ask); !errors.As(err, &no) || !no.Decision.Has(license.OutputCode) {
		t.Errorf("a browser of a license without export: %v", err)
	}
	_, err := h.tablet.play(s, content.HD, playAsk(content.HD), 0)
	h.must(err)
}

// TestAttack_WholeFilmInOneSlice is a host that hands over the whole film as one
// segment, to pay for one slice only.
func TestAttack_WholeFilmInOneSlice(t *testing.T) {
	for name, tc := range map[string]struct {
		terms string
		plays uint64
		code  license.Code
	}{
		"counted":     {"PLAY; PLAY_COUNT=2; EXPORT=clearkey", 2, license.CountExhausted},
		"accumulated": {"PLAY; ACCUMULATED=100s; EXPORT=clearkey", 0, license.TimeExhausted}, // a tenth for the tablet
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			s := h.stock(cenc.SchemeCENC, filmID)
			h.wantKinds(h.buy(filmID, h.once(tc.terms)), trem.EventInstalled, trem.EventClosed)
			h.must(h.pair(h.tablet))
			h.wantKinds(h.get(h.tablet, filmID, max(tc.plays, 1)), trem.EventInstalled, trem.EventClosed)
			track := &s.m.Tracks[slices.IndexFunc(s.m.Tracks, func(tr content.TrackFiles) bool { return tr.Tier == content.HD })]
			var whole []byte
			for _, seg := range track.Segments {
				whole = append(whole, s.read(t, seg.File)...)
			}
			watch := func() error {
				ctx := context.Background()
				ses, err := h.tablet.Begin(ctx, playAsk(content.HD))
				if err != nil {
					return err
				}
				n, _, err := h.tablet.Track(ctx, ses.Handle, s.read(t, track.Init))
				h.must(err)
				_, err = h.tablet.Decrypt(ctx, ses.Handle, n, whole)
				return errors.Join(err, h.tablet.End(ctx, ses.Handle))
			}
			for i := range tc.plays {
				if err := watch(); err != nil {
					t.Fatalf("play %d: %v", i+1, err)
				}
				left, err := h.tablet.Licenses(t.Context())
				h.must(err)
				if got := *left[0].Counters.PlaysLeft; got != tc.plays-i-1 {
					t.Errorf("%d plays are left after %d whole films", got, i+1)
				}
			}
			var no *trem.RefusalError
			if err := watch(); !errors.As(err, &no) || !no.Decision.Has(tc.code) {
				t.Errorf("one film more: %v", err)
			}
		})
	}
}

// TestAttack_RolledBackVault kills the module, puts its folder back as it was
// before a play, and starts it. Without an anchor in hardware it has the play
// again, until it meets its house: from then on what counts waits.
func TestAttack_RolledBackVault(t *testing.T) {
	own, _ := users(t)
	h, s := witnessed(t)
	h.tablet.settle(own)
	h.tablet.shut()
	image := filepath.Join(t.TempDir(), "image")
	h.must(os.CopyFS(image, os.DirFS(h.tablet.dir)))
	cmd := h.tablet.spawn()
	h.must(h.learnTime(h.tablet))
	h.spend(h.tablet)
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled) // the house has seen the newer log
	h.must(cmd.Process.Kill())
	_ = h.tablet.wait()
	_ = h.tablet.Close()
	h.must(os.RemoveAll(h.tablet.dir))
	h.must(os.CopyFS(h.tablet.dir, os.DirFS(image)))
	own.takes(t, h.tablet.dir)
	h.tablet.spawn()
	t.Cleanup(func() { _ = h.tablet.Close(); _ = h.tablet.wait() })
	h.must(h.learnTime(h.tablet))
	if d := h.decision(h.tablet, rentedFilm); !d.Allow {
		t.Fatalf("nobody has told the tablet yet: %+v", d)
	}
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
	h.wantSetBack(h.tablet, s)
}
