package bench

import (
	"encoding/binary"
	"fmt"

	"github.com/lares-drm/lares/security/sltp"
)

// exchange is a flow of many exchanges of one source, each with another
// destination: a handshake with the request and the license in it.
type exchange struct {
	w      *sltpWorld
	src    *sltp.Endpoint
	dst    []*sltp.Endpoint
	cached bool // chains are remembered and named by x5t
	opened []sltp.Handle
	asked  []sltp.Handle
	at     []sltp.Message // the message that is under way, of each session
	trace  [][]byte       // messages of the first session in this turn
}

func (w *sltpWorld) newExchange(suite sltp.Suite, cached bool, edit ...func(*sltp.Config)) (*exchange, error) {
	x := &exchange{w: w, cached: cached, opened: make([]sltp.Handle, maxFlow), asked: make([]sltp.Handle, maxFlow), at: make([]sltp.Message, maxFlow)}
	var err error
	if x.src, err = w.endpoint(w.issuer, suite, cached, edit...); err != nil {
		return nil, err
	}
	for _, home := range w.homes {
		e, err := w.endpoint(home, suite, cached, edit...)
		if err != nil {
			return nil, err
		}
		x.dst = append(x.dst, e)
	}
	return x, nil
}

// exchangeFlow is handshake and license.
func (w *sltpWorld) exchangeFlow(name string, suite sltp.Suite, cached bool) (*flow, *exchange, error) {
	x, err := w.newExchange(suite, cached)
	if err != nil {
		return nil, nil, err
	}
	return &flow{name: name, begin: x.begin, steps: x.steps(), bytes: x.bytes}, x, nil
}

// x5chainFlow is a first meeting with a party that knows no packed chains.
func (w *sltpWorld) x5chainFlow(name string, suite sltp.Suite) (*flow, error) {
	x, err := w.newExchange(suite, false, func(c *sltp.Config) { c.PlainChains = true })
	if err != nil {
		return nil, err
	}
	return &flow{name: name, begin: x.begin, steps: x.steps(), bytes: x.bytes}, nil
}

// begin forgets everything, or, with cached, everything but the certificates.
func (x *exchange) begin(n int) error {
	if err := x.forget(n); err != nil {
		return err
	}
	x.trace = nil
	return nil
}

func (x *exchange) forget(n int) error {
	for i := range n {
		x.dst[i].Close(x.opened[i])
		x.src.Close(x.asked[i])
		if !x.cached {
			x.dst[i].EpochAdvanced()
		} else if x.opened[i] == 0 {
			if err := x.meet(i); err != nil {
				return fmt.Errorf("first meeting: %w", err)
			}
		}
	}
	if !x.cached {
		x.src.EpochAdvanced()
	}
	return nil
}

// meet runs one session, after which both sides hold the certificates.
func (x *exchange) meet(i int) error {
	for _, s := range x.steps() {
		if err := s.do(i); err != nil {
			return err
		}
	}
	x.dst[i].Close(x.opened[i])
	x.src.Close(x.asked[i])
	return nil
}

func (x *exchange) steps() []step {
	return []step{{initiator, x.open}, {responder, x.toSource}, {initiator, x.toDestination}, {responder, x.answer}, {initiator, x.end}}
}

// send puts a message on its way.
func (x *exchange) send(i int, out []sltp.Message, ev []sltp.Event) (err error) {
	if x.at[i], err = one(out, ev); err == nil && i == 0 {
		x.trace = append(x.trace, x.at[0].Bytes)
	}
	return err
}

func (x *exchange) open(i int) error {
	h, out, err := x.dst[i].Open(x.w.issuer.id, x.w.request, x.w.now)
	if err != nil {
		return err
	}
	x.opened[i] = h
	return x.send(i, out, nil)
}

func (x *exchange) toSource(i int) error {
	out, ev := x.src.Receive(x.at[i], x.w.now)
	return x.send(i, out, ev)
}

func (x *exchange) toDestination(i int) error {
	out, ev := x.dst[i].Receive(x.at[i], x.w.now)
	return x.send(i, out, ev)
}

func (x *exchange) answer(i int) error { return x.replyWith(i, x.w.given) }

// replyWith takes a request and answers it.
func (x *exchange) replyWith(i int, build func() (sltp.Reply, error)) error {
	_, ev := x.src.Receive(x.at[i], x.w.now)
	h, err := asked(ev)
	if err != nil {
		return err
	}
	x.asked[i] = h
	r, err := build()
	if err != nil {
		return err
	}
	out, err := x.src.Reply(h, r, x.w.now)
	if err != nil {
		return err
	}
	return x.send(i, out, nil)
}

func (x *exchange) end(i int) error {
	_, ev := x.dst[i].Receive(x.at[i], x.w.now)
	return replied(ev)
}

func (x *exchange) bytes() (n int) {
	for _, m := range x.trace {
		n += len(m)
	}
	return n
}

// Repeated requests. A session takes at most 1,000 messages, two for each
// request (docs/spec/sltp.md), and is made anew before that. Source: local.
const (
	sessionTurns = 100
	often        = 4 // requests of a session in one turn
)

// repeat is a flow of further requests in sessions that stand.
type repeat struct {
	*exchange
	turns int // of these sessions
	ready int // sessions that stand
	asks  uint64
	reply func() (sltp.Reply, error)
}

// repeatFlow is a request and its reply in a session that stands.
func (w *sltpWorld) repeatFlow(name string, suite sltp.Suite, reply func() (sltp.Reply, error)) (*flow, error) {
	x, err := w.newExchange(suite, true)
	if err != nil {
		return nil, err
	}
	r := &repeat{exchange: x, reply: reply}
	f := &flow{name: name, begin: r.begin, bytes: func() int { return r.bytes() / often }, each: often}
	for range often {
		f.steps = append(f.steps, step{initiator, r.ask}, step{responder, r.give}, step{initiator, r.take})
	}
	return f, nil
}

func (r *repeat) begin(n int) error {
	if r.turns++; n > r.ready || r.turns > sessionTurns {
		r.turns, r.ready = 1, n
		for i := range n {
			r.dst[i].Close(r.opened[i])
			r.src.Close(r.asked[i])
			for _, s := range r.steps() {
				if err := s.do(i); err != nil {
					return fmt.Errorf("make session: %w", err)
				}
			}
		}
	}
	r.trace = nil
	return nil
}

func (r *repeat) ask(i int) error {
	req := r.w.request
	r.asks++
	binary.BigEndian.PutUint64(req.ReqID[8:], r.asks)
	out, err := r.dst[i].Request(r.opened[i], req, r.w.now)
	if err != nil {
		return err
	}
	return r.send(i, out, nil)
}

func (r *repeat) give(i int) error { return r.replyWith(i, r.reply) }

func (r *repeat) take(i int) error { return r.end(i) }
