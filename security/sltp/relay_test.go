package sltp

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// world is a source, a destination and a legacy destination, and a relay that
// does with their messages what its script says.
type world struct {
	t       testing.TB
	now     time.Time
	e       []*Endpoint // source, destination, legacy destination
	flying  []Message
	seen    []Message
	asked   map[ident.Request]Body // what was asked, by destinations
	wants   map[ident.Request]Reference
	replied map[ident.Request]Body // what the source replied
	apps    [][]byte
	waits   []waiting
	handles []Handle // sessions at the destination
	n       byte
}

type waiting struct {
	handle Handle
	id     ident.Request
}

// cast is who takes part: certificates are made once.
type cast struct {
	domain               *pkitest.Domain
	issuer, home, legacy *pkitest.Party
	key                  *rsa.PrivateKey
	cert                 []byte
}

func newCast(t testing.TB) *cast {
	t.Helper()
	d := pkitest.New(t, pkitest.Start())
	key, err := testRSA()
	if err != nil {
		t.Fatal(err)
	}
	c := &cast{domain: d, issuer: d.Party(pki.LicenseIssuer), home: d.Party(pki.HomeServer), legacy: d.Party(pki.Device, withSuites()), key: key}
	c.cert = d.RSA(c.legacy, &key.PublicKey)
	return c
}

func (c *cast) world(t testing.TB) *world {
	t.Helper()
	h := &house{t: t, domain: c.domain}
	w := &world{t: t, now: c.domain.Now.Add(time.Hour), asked: map[ident.Request]Body{}, wants: map[ident.Request]Reference{}, replied: map[ident.Request]Body{}}
	cache := pki.NewCache(0)
	for i, p := range []*pkitest.Party{c.issuer, c.home, c.legacy} {
		cfg := h.config(p)
		cfg.Verifier = &pki.Verifier{Trust: c.domain.Trust, Cache: cache}
		cfg.MaxHalfOpen, cfg.MaxSessions = 4, 4
		known := &stream{name: [1]byte{byte(i)}}
		cfg.Rand, cfg.Ephemeral = known, known
		switch i {
		case 0:
			cfg.AllowRSA = func(*pki.Peer) bool { return true }
		case 1:
			opens(&cfg, c.home)
		case 2:
			cfg.RSA = &RSAKey{Key: c.key, Cert: c.cert}
		}
		w.e = append(w.e, h.endpoint(cfg))
	}
	return w
}

// stream is randomness that everybody knows, so that a script does the same
// every time.
type stream struct {
	name [1]byte
	n    uint64
}

func (s *stream) block() [32]byte {
	s.n++
	return sha256.Sum256(binary.BigEndian.AppendUint64(s.name[:], s.n))
}

func (s *stream) Read(p []byte) (n int, err error) {
	for n < len(p) {
		b := s.block()
		n += copy(p[n:], b[:])
	}
	return n, nil
}

// Offer makes a key share; one block in 2^32 is none of P-256's.
func (s *stream) Offer(suite Suite) (edhoc.Share, error) {
	b := s.block()
	key, err := ecdh.P256().NewPrivateKey(b[:])
	if err != nil {
		return nil, err
	}
	return edhoc.NewShare(suite, key)
}

func (s *stream) Answer(suite Suite, gx []byte) (gy, gxy []byte, err error) {
	return answer(s.Offer, suite, gx)
}

// answer agrees with a share that is offered for it.
func answer(offer func(Suite) (edhoc.Share, error), suite Suite, gx []byte) (gy, gxy []byte, err error) {
	share, err := offer(suite)
	if err != nil {
		return nil, nil, err
	}
	gxy, err = share.Agree(gx)
	return share.Public(), gxy, err
}

// send takes what an endpoint wants to be carried.
func (w *world) send(m []Message) {
	if len(w.seen) > 64 {
		w.seen = w.seen[32:]
	}
	w.flying, w.seen = append(w.flying, m...), append(w.seen, m...)
}

// act is one step of the parties themselves.
func (w *world) act(op, arg byte) {
	w.n++
	id := ident.Request{1, w.n}
	r := request(w.t)
	r.ReqID = id
	switch op % 6 {
	case 0:
		if _, m, err := w.e[1].Open(w.e[0].cfg.Self, r, w.now); err == nil {
			w.asked[id] = r.Body
			w.send(m)
		}
	case 1:
		what := Reference{License: ident.License{9, w.n}}
		if _, m, err := w.e[2].OpenLegacy(w.e[0].cfg.Self, what, id, w.now); err == nil {
			w.wants[id] = what
			w.send(m)
		}
	case 2:
		if len(w.handles) > 0 {
			r.Body = app(w.t, uint64(w.n))
			if m, err := w.e[1].Request(w.handles[int(arg)%len(w.handles)], r, w.now); err == nil {
				w.asked[id] = r.Body
				w.send(m)
			}
		}
	case 3:
		if len(w.waits) > 0 {
			i := int(arg) % len(w.waits)
			reply := licenseReply(w.t)
			reply.Body, _ = License{Chain: [][]byte{{w.n}}, Bundle: []byte{1}}.Encode()
			reply.ReqID = w.waits[i].id
			if m, err := w.e[0].Reply(w.waits[i].handle, reply, w.now); err == nil {
				w.replied[w.waits[i].id] = reply.Body
				w.send(m)
			}
			w.waits = slices.Delete(w.waits, i, i+1)
		}
	case 4:
		if len(w.handles) > 0 {
			body := app(w.t, 1000+uint64(w.n))
			if _, m, err := w.e[1].Send(w.handles[int(arg)%len(w.handles)], body, w.now); err == nil {
				w.apps = append(w.apps, body)
				w.send(m)
			}
		}
	case 5:
		w.now = w.now.Add(time.Duration(arg) * time.Second)
	}
}

// deliver gives a message to an endpoint and holds what comes of it against
// what the others said.
func (w *world) deliver(to int, m Message) {
	out, ev := w.e[to].Receive(m, w.now)
	if len(out) > 2 { // the alert for a lost chain and the new message_1
		w.t.Fatalf("%d answers to one message", len(out))
	}
	w.send(out)
	for _, v := range ev {
		switch v := v.(type) {
		case EventRequest:
			if body, ok := w.asked[v.Request.ReqID]; to != 0 || !ok || !bytes.Equal(body, v.Request.Body) || v.Peer.ID() != w.e[1].cfg.Self {
				w.t.Fatalf("nobody asked %+v", v)
			}
			w.waits = append(w.waits, waiting{v.Handle, v.Request.ReqID})
		case EventLegacyRequest:
			if what, ok := w.wants[v.ReqID]; to != 0 || !ok || what != v.What || v.Peer.ID() != w.e[2].cfg.Self {
				w.t.Fatalf("nobody asked %+v", v)
			}
			w.waits = append(w.waits, waiting{v.Handle, v.ReqID})
		case EventReply:
			body, ok := w.replied[v.Reply.ReqID]
			if to == 0 || v.Legacy != (to == 2) || !ok || !bytes.Equal(body, v.Reply.Body) || v.Peer.ID() != w.e[0].cfg.Self {
				w.t.Fatalf("nobody replied %+v", v)
			}
			delete(w.replied, v.Reply.ReqID) // a second time would be a replay
			if to == 1 && !v.Session {
				w.handles = append(w.handles, v.Handle)
			}
		case EventApp:
			i := slices.IndexFunc(w.apps, func(b []byte) bool { return bytes.Equal(b, v.Body) })
			if to != 0 || i < 0 {
				w.t.Fatalf("nobody sent %+v", v)
			}
			w.apps = slices.Delete(w.apps, i, i+1)
		case EventTrigger:
		}
	}
}

// step lets the relay do one thing with one message.
func (w *world) step(op, which, arg byte) {
	if op >= 128 || len(w.flying) == 0 && len(w.seen) == 0 {
		w.act(op, arg)
		return
	}
	to := int(op>>4) % 3
	pool := w.flying
	if op&8 != 0 || len(pool) == 0 {
		pool = w.seen // a replay
	}
	i := int(which) % len(pool)
	m := Message{CID: slices.Clone(pool[i].CID), Bytes: slices.Clone(pool[i].Bytes)}
	if op&8 == 0 && len(w.flying) > 0 {
		w.flying = slices.Delete(w.flying, i, i+1)
	}
	switch op & 7 {
	case 0:
		return // lost
	case 1:
		m.Bytes[int(arg)*7%len(m.Bytes)] ^= 1 << (arg % 8)
	case 2:
		m.Bytes = m.Bytes[:int(arg)*5%len(m.Bytes)]
	case 3:
		m.Bytes = append(m.Bytes, arg)
	case 4: // to another exchange
		m.CID = slices.Clone(w.seen[int(arg)%len(w.seen)].CID)
	case 5: // to everybody
		for to := range w.e {
			w.deliver(to, m)
		}
		return
	default:
		to = w.owner(m, to)
	}
	w.deliver(to, m)
}

// owner is who a message is for, as an honest relay knows it.
func (w *world) owner(m Message, otherwise int) int {
	if len(m.CID) == cidLen {
		for i, e := range w.e {
			if e.byCID[cid(m.CID)] != nil {
				return i
			}
		}
	}
	return otherwise
}

// settles checks that after all that an honest relay still serves everybody.
func (w *world) settles() {
	for i, e := range w.e {
		if len(e.byHandle)-e.halfOpen > 4 || e.halfOpen > 4 || len(e.byCID) > 8 || len(e.triggers) > maxTriggers {
			w.t.Fatalf("endpoint %d holds %d sessions, %d half open", i, len(e.byHandle), e.halfOpen)
		}
	}
	w.now = w.now.Add(2 * sessionLife)
	for _, e := range w.e {
		e.Tick(w.now)
		if len(e.byHandle) != 0 || len(e.byCID) != 0 || len(e.byM1) != 0 || len(e.bySID) != 0 || e.halfOpen != 0 {
			w.t.Fatalf("after everything ended: %d, %d, %d, %d, %d", len(e.byHandle), len(e.byCID), len(e.byM1), len(e.bySID), e.halfOpen)
		}
	}
	w.flying, w.seen, w.waits, w.handles = nil, nil, nil, nil
	w.replied = map[ident.Request]Body{}
	w.act(0, 0)
	w.act(1, 0)
	for range 40 {
		if len(w.flying) > 0 {
			m := w.flying[0]
			w.flying = w.flying[1:]
			w.deliver(w.owner(m, 0), m)
		} else if len(w.waits) > 0 {
			w.act(3, 0)
		}
	}
	if len(w.replied) != 0 || len(w.handles) != 1 {
		w.t.Fatalf("an honest relay did not help: %d replies lost, %d sessions", len(w.replied), len(w.handles))
	}
}

// FuzzRelay drives three parties through a hostile relay. Each step is three
// bytes: what to do, with which message, and how.
func FuzzRelay(f *testing.F) {
	c := newCast(f)
	honest := []byte{128, 0, 0}
	for range 12 {
		honest = append(honest, 6, 0, 0, 131, 0, 0)
	}
	for range 6 {
		honest = append(honest, 130, 0, 0, 132, 0, 0, 6, 0, 0, 131, 0, 0, 14, 1, 0, 6, 0, 0)
	}
	f.Add(honest)
	f.Add([]byte{129, 0, 0, 6, 0, 0, 6, 0, 0, 6, 0, 0, 131, 0, 0, 14, 2, 0, 6, 0, 0})
	f.Add([]byte{128, 0, 0, 129, 0, 0, 5, 0, 0, 5, 0, 0, 4, 1, 3, 1, 0, 9, 13, 0, 0, 131, 0, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		w := c.world(t)
		for i := 0; i+3 <= len(script) && i < 3*120; i += 3 {
			w.step(script[i], script[i+1], script[i+2])
		}
		w.settles()
	})
}

// TestSLTP_1_RelayScripts runs scripts that are not chosen by anybody, so that
// every test run has some.
func TestSLTP_1_RelayScripts(t *testing.T) {
	c := newCast(t)
	replies := 0
	for seed := range uint32(150) {
		w := c.world(t)
		x := seed*2654435761 + 1
		next := func() byte { x ^= x << 13; x ^= x >> 17; x ^= x << 5; return byte(x >> 11) }
		for range 120 {
			op := next()
			if op < 128 && op&3 != 1 {
				op = op&0xf8 | 6 // mostly honest, or nothing would ever stand
			}
			w.step(op, next(), next())
		}
		replies += len(w.handles)
		w.settles()
	}
	if replies < 20 {
		t.Errorf("%d exchanges came to an end in all scripts: they test little", replies)
	}
}
