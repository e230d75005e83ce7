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

	Known   func(Addr) bool                              // whose proofs are taken on links; nil: nobody's
	Prove   Prover                                       // nil: its HELLO is never signed
	Auth    *AuthKey                                     // nil: no AUTH frames; its holder gets what they carry by Account
	Account func(by Arrival, src Addr, a Account) error  // ErrAccount, or Later when there were too many wrong ones
	Epoch   func() uint64                                // that it claims and can show by Gossip; nil: that of Hello
	Admits  func(src Addr, proven bool) bool             // whose SLTP is served, by whether src has proven itself on the link: of others the account is asked first (UNPROVEN); nil: everybody's
	Gossip  func(src Addr, g Gossip) ([]Gossip, error)   // nil: it passes no revocation state on
	Content func(src Addr, c Content) ([]Content, error) // nil: it names no places of content
}

// Prover makes a module's proof for a link: see Hello.Sign.
type Prover func(link LinkID, relay Addr, hello [32]byte) (Proof, error)

// maxSigned is how many answers to HELLO are signed in a second; those above come
// without a proof, and who needs one asks again. Source: local, docs/spec/lrp.md section 8.
const maxSigned = 8

// Renew answers the body of a RENEW frame that src sent: the work of an
// authority (docs/spec/authority-api.md). An error is as one of Serve.
type Renew func(src Addr, body []byte) ([]byte, error)

// Endpoint is the addressed side of transactions: it checks frames, answers
// duplicates from memory and passes SLTP messages on. It is safe for concurrent use.
type Endpoint struct {
	cfg   EndpointConfig
	mu    sync.Mutex
	table *table // guarded by mu
	links *Links // guarded by mu

	second int64 // guarded by mu; of the newest signed answer, Unix s
	signed int   // guarded by mu; in that second
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
	if cfg.Known == nil {
		cfg.Known = func(Addr) bool { return false }
	}
	if cfg.Auth != nil {
		cfg.Hello.Seal = cfg.Auth.Public()
	}
	if _, err := cfg.Hello.Encode(); err != nil {
		return nil, err
	}
	return &Endpoint{cfg: cfg, table: newTable(), links: NewLinks(cfg.Self)}, nil
}

// Handle serves one frame at now, that came on no link, and returns the frames to
// send back. It never fails: what is wrong becomes an ERROR frame.
func (e *Endpoint) Handle(f Frame, now time.Time, serve Serve) []Frame {
	return e.HandleBy(Arrival{}, f, now, serve)
}

// HandleBy is Handle for a frame of which it is known by what it came.
func (e *Endpoint) HandleBy(by Arrival, f Frame, now time.Time, serve Serve) []Frame {
	if code := e.judge(by.Link, f, now); code != 0 {
		return []Frame{ErrorFrame(f, code, 0)}
	}
	switch f.Type {
	case TypeHello:
		return []Frame{e.greet(by.Link, f, now)}
	case TypeResume:
		return e.resume(f, now)
	case TypeSLTP:
		m, err := ParseSLTP(f.Body)
		if err != nil {
			return []Frame{ErrorFrame(f, CodeMalformed, 0)}
		}
		if e.cfg.Admits != nil && !e.cfg.Admits(f.Src, e.Proved(by.Link, f.Src, now)) {
			return []Frame{ErrorFrame(f, CodeUnproven, 0)}
		}
		return e.once(f, now, func() ([]Frame, bool) { return e.ask(f, m, serve) })
	case TypeRenew, TypeAuth, TypeGossip, TypeContent:
		return e.other(by, f, now)
	case TypeAck, TypeError: // the end of something; an answer would loop
		return nil
	default:
		return []Frame{ErrorFrame(f, CodeUnsupported, 0)}
	}
}

func (e *Endpoint) judge(link LinkID, f Frame, now time.Time) Code {
	if f.Dst != e.cfg.Self || f.Src == e.cfg.Self {
		return CodeUnknownDst
	}
	if f.Type == TypeResume && e.cfg.Known(f.Src) && !e.Proved(link, f.Src, now) {
		return CodeUnproven // what is held is for who began the transaction
	}
	return expired(f, now)
}

// Proved reports whether a source has proven itself on a link.
func (e *Endpoint) Proved(link LinkID, src Addr, now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.links.Proved(link, src, now)
}

// Sources are the addresses that have proven themselves on a link.
func (e *Endpoint) Sources(link LinkID, now time.Time) []Addr {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.links.Sources(link, now)
}

// Forget ends what a source has proven.
func (e *Endpoint) Forget(src Addr) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.links.Forget(src)
}

// Close ends a link, as when its connection does.
func (e *Endpoint) Close(link LinkID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.links.Close(link)
}

// greet answers a HELLO. One without a proof is told the name of a link to prove
// itself on; one with a proof that does not hold is refused.
func (e *Endpoint) greet(link LinkID, f Frame, now time.Time) Frame {
	offer, err := ParseHello(f.Body)
	link, sign, ok := e.admit(link, f, offer, now)
	if err == nil && !ok {
		return ErrorFrame(f, CodeUnproven, 0)
	}
	mine := e.cfg.Hello
	mine.Link = link[:]
	if e.cfg.Epoch != nil {
		mine.Epoch = e.cfg.Epoch()
	}
	body, _, err := mine.Answer(f.Body)
	if err == nil && sign {
		body, err = prove(body, LinkID(offer.Link), e.cfg.Self, e.cfg.Prove)
	}
	switch {
	case errors.Is(err, ErrVersion):
		return ErrorFrame(f, CodeVersion, 0)
	case errors.Is(err, errModule):
		return ErrorFrame(f, CodeInternal, 0)
	case err != nil:
		return ErrorFrame(f, CodeMalformed, 0)
	}
	return reply(f, TypeHello, body)
}

// admit takes the proof of an offer, or names a link, and says whether the answer
// is to be signed. It is not ok where the proof does not hold.
func (e *Endpoint) admit(link LinkID, f Frame, offer Hello, now time.Time) (_ LinkID, sign, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if offer.Proof != nil {
		src, err := e.links.Prove(link, f.Body, now, e.cfg.Known)
		return link, false, err == nil && src == f.Src
	}
	if e.cfg.Prove == nil || offer.Link == nil {
		return e.links.Open(now), false, true
	}
	if second := now.Unix(); second != e.second {
		e.second, e.signed = second, 0
	}
	e.signed++
	return e.links.Open(now), e.signed <= maxSigned, true
}

// prove signs an answer's body over the name that its offer gave.
func prove(body []byte, link LinkID, self Addr, by Prover) ([]byte, error) {
	h, err := ParseHello(body)
	if err != nil {
		return nil, err
	}
	out, err := h.Sign(link, self, by)
	if err != nil {
		return nil, errModule // whatever it is, it is not the asker's fault
	}
	return out, nil
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
	return frames(f, func() ([][]byte, Type, error) {
		out, err := serve(f.Src, m)
		if errors.Is(err, ErrLater) {
			return nil, TypeSLTP, err
		}
		if err != nil {
			return nil, TypeSLTP, errModule // whatever it is, it is not the frame's fault
		}
		var list [][]byte
		for _, m := range out {
			body, err := m.Encode()
			if err != nil {
				return nil, TypeSLTP, errModule
			}
			list = append(list, body)
		}
		return list, TypeSLTP, nil
	})
}

var errModule = errors.New("lrp: the module does not work now")

// ErrLater is what Serve returns when it has no time for a message: its sender is
// told after which time to send the same again.
var ErrLater = errors.New("lrp: no time now; ask again")

// Later is ErrLater with a time of its own.
type Later struct{ After time.Duration }

func (l Later) Error() string { return ErrLater.Error() }
func (l Later) Unwrap() error { return ErrLater }

// waitOf is the advice of an ErrLater in ms, rounded up to whole seconds.
func waitOf(err error) uint32 {
	l, ok := errors.AsType[Later](err)
	if !ok {
		return laterMS
	}
	s := (min(max(l.After, 0), 24*time.Hour) + time.Second - 1) / time.Second
	return uint32(s) * 1000
}

// other serves the frames that are no SLTP, each once.
func (e *Endpoint) other(by Arrival, f Frame, now time.Time) []Frame {
	var answer func() ([][]byte, Type, error)
	switch f.Type {
	case TypeRenew:
		if e.cfg.Renew != nil {
			answer = func() ([][]byte, Type, error) {
				body, err := e.cfg.Renew(f.Src, f.Body)
				if err != nil {
					err = errModule
				}
				return [][]byte{body}, TypeRenew, err
			}
		}
	case TypeAuth:
		if e.cfg.Auth != nil && e.cfg.Account != nil {
			answer = func() ([][]byte, Type, error) { return [][]byte{{}}, TypeAck, e.account(by, f) }
		}
	case TypeGossip:
		if e.cfg.Gossip != nil {
			answer = func() ([][]byte, Type, error) {
				return bodies(f, TypeGossip, ParseGossip, e.cfg.Gossip)
			}
		}
	case TypeContent:
		if e.cfg.Content != nil {
			answer = func() ([][]byte, Type, error) {
				return bodies(f, TypeContent, ParseContent, e.cfg.Content)
			}
		}
	default:
	}
	if answer == nil {
		return []Frame{ErrorFrame(f, CodeUnsupported, 0)}
	}
	return e.once(f, now, func() ([]Frame, bool) { return frames(f, answer) })
}

func (e *Endpoint) account(by Arrival, f Frame) error {
	a, err := e.cfg.Auth.Open(f)
	if err != nil {
		return err
	}
	return e.cfg.Account(by, f.Src, a)
}

// bodies answers a body of one type with bodies of the same type.
func bodies[T interface{ Encode() ([]byte, error) }](f Frame, typ Type, parse func([]byte) (T, error), serve func(Addr, T) ([]T, error)) ([][]byte, Type, error) {
	in, err := parse(f.Body)
	if err != nil {
		return nil, typ, err
	}
	out, err := serve(f.Src, in)
	if err != nil {
		return nil, typ, err
	}
	list := make([][]byte, 0, len(out))
	for _, o := range out {
		b, err := o.Encode()
		if err != nil {
			return nil, typ, err
		}
		list = append(list, b)
	}
	return list, typ, nil
}

// frames makes frames of what was answered. ok is false when it must not be kept.
func frames(f Frame, answer func() ([][]byte, Type, error)) (out []Frame, ok bool) {
	list, typ, err := answer()
	switch {
	case errors.Is(err, ErrFrame):
		return []Frame{ErrorFrame(f, CodeMalformed, 0)}, true
	case errors.Is(err, ErrAccount):
		return []Frame{ErrorFrame(f, CodeUnproven, 0)}, true
	case errors.Is(err, ErrLater):
		return []Frame{ErrorFrame(f, CodeFull, waitOf(err))}, false
	case err != nil || len(list) > MaxFrames:
		return []Frame{ErrorFrame(f, CodeInternal, 0)}, false
	}
	out = []Frame{}
	for i, body := range list {
		if len(body) > MaxBody {
			return []Frame{ErrorFrame(f, CodeInternal, 0)}, false
		}
		r := reply(f, typ, body)
		r.Seq += uint64(i)
		out = append(out, r)
	}
	return out, true
}

func retryOf(c Code) uint32 {
	if c == CodeBusy {
		return busyMS
	}
	return 0
}
