package lrp

import (
	"errors"
	"sync"
	"time"
)

// Serve answers an SLTP message that src sent: messages to send back, in order.
// An error means that the module behind does not work now; its text stays here.
type Serve func(src Addr, m SLTP) ([]SLTP, error)

// EndpointConfig describes the module at the end of a link.
type EndpointConfig struct {
	Self  Addr  // required: frames for others are refused
	Hello Hello // what it offers; the zero value is DefaultHello
	Renew Renew // nil: it renews no certificates
}

// Renew answers the body of a RENEW frame that src sent: the work of an
// authority (docs/spec/authority-api.md). An error is as one of Serve.
type Renew func(src Addr, body []byte) ([]byte, error)

// Endpoint is the addressed side of transactions: it checks frames, answers
// duplicates from memory and passes SLTP messages on. It is safe for concurrent use.
type Endpoint struct {
	self  Addr
	hello Hello
	renew Renew
	mu    sync.Mutex
	table *table // guarded by mu
}

// DefaultHello is what this package serves over a binding.
func DefaultHello(bindings ...string) Hello {
	return Hello{Versions: []uint64{Version}, Protocols: []string{ProtocolSLTP}, Bindings: append([]string{}, bindings...), Limits: Limits{}.orDefault()}
}

// NewEndpoint returns an endpoint that remembers nothing yet.
func NewEndpoint(cfg EndpointConfig) (*Endpoint, error) {
	if cfg.Self == (Addr{}) {
		return nil, errors.New("lrp: endpoint without address")
	}
	if cfg.Hello.Versions == nil {
		cfg.Hello = DefaultHello("http")
	}
	if _, err := cfg.Hello.Encode(); err != nil {
		return nil, err
	}
	return &Endpoint{self: cfg.Self, hello: cfg.Hello, renew: cfg.Renew, table: newTable()}, nil
}

// Handle serves one frame at now and returns the frames to send back. It never
// fails: what is wrong becomes an ERROR frame.
func (e *Endpoint) Handle(f Frame, now time.Time, serve Serve) []Frame {
	if code := e.judge(f, now); code != 0 {
		return []Frame{ErrorFrame(f, code, 0)}
	}
	switch f.Type {
	case TypeHello:
		return []Frame{e.greet(f)}
	case TypeResume:
		return e.resume(f, now)
	case TypeSLTP:
		m, err := ParseSLTP(f.Body)
		if err != nil {
			return []Frame{ErrorFrame(f, CodeMalformed, 0)}
		}
		return e.once(f, now, func() ([]Frame, bool) { return e.ask(f, m, serve) })
	case TypeRenew:
		if e.renew == nil {
			return []Frame{ErrorFrame(f, CodeUnsupported, 0)}
		}
		return e.once(f, now, func() ([]Frame, bool) {
			body, err := e.renew(f.Src, f.Body)
			if err != nil || len(body) > MaxBody {
				return []Frame{ErrorFrame(f, CodeInternal, 0)}, false
			}
			return []Frame{reply(f, TypeRenew, body)}, true
		})
	case TypeAck, TypeError: // the end of something; an answer would loop
		return nil
	default:
		return []Frame{ErrorFrame(f, CodeUnsupported, 0)}
	}
}

func (e *Endpoint) judge(f Frame, now time.Time) Code {
	if f.Dst != e.self || f.Src == e.self {
		return CodeUnknownDst
	}
	return expired(f, now)
}

func (e *Endpoint) greet(f Frame) Frame {
	body, _, err := e.hello.Answer(f.Body)
	switch {
	case errors.Is(err, ErrVersion):
		return ErrorFrame(f, CodeVersion, 0)
	case err != nil:
		return ErrorFrame(f, CodeMalformed, 0)
	}
	return reply(f, TypeHello, body)
}

func (e *Endpoint) resume(f Frame, now time.Time) []Frame {
	if len(f.Body) != 0 {
		return []Frame{ErrorFrame(f, CodeMalformed, 0)}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	held, ok := e.table.held(f.Src, f.Tx, now)
	if !ok {
		return []Frame{ErrorFrame(f, CodeUnknownTx, 0)}
	}
	return held
}

// once serves a frame that is new in its transaction, and answers one that came
// before from memory. serve says whether its answer is to be kept.
func (e *Endpoint) once(f Frame, now time.Time, serve func() ([]Frame, bool)) []Frame {
	e.mu.Lock()
	ent, held, code := e.table.begin(f, now)
	e.mu.Unlock()
	if code != 0 {
		return []Frame{ErrorFrame(f, code, retryOf(code))}
	}
	if ent == nil {
		return held
	}
	var answer []Frame
	keep := false
	defer func() { // also when serve panics, or the frame would stay in work
		e.mu.Lock()
		e.table.finish(ent, answer, keep)
		e.mu.Unlock()
	}()
	answer, keep = serve()
	return answer
}

// ask calls serve and makes frames of its messages. ok is false when the answer
// must not be kept.
func (e *Endpoint) ask(f Frame, m SLTP, serve Serve) (answer []Frame, ok bool) {
	out, err := serve(f.Src, m)
	if err != nil || len(out) > MaxFrames {
		return []Frame{ErrorFrame(f, CodeInternal, 0)}, false
	}
	answer = []Frame{}
	for i, m := range out {
		body, err := m.Encode()
		if err != nil || len(body) > MaxBody {
			return []Frame{ErrorFrame(f, CodeInternal, 0)}, false
		}
		r := reply(f, TypeSLTP, body)
		r.Seq += uint64(i)
		answer = append(answer, r)
	}
	return answer, true
}

func retryOf(c Code) uint32 {
	if c == CodeBusy {
		return busyMS
	}
	return 0
}
