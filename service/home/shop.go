package home

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

const requestsFile = "requests.json"

// maxRequests bounds the requests that wait for an answer. Source: local.
const maxRequests = 256

// ErrBusy is returned when the same request is already on its way.
var ErrBusy = errors.New("home: this is already being fetched")

// ShopError is a shop's refusal. RetryMS is after how many milliseconds it is
// worth asking again; 0 means that it is not.
type ShopError struct {
	Code    string
	RetryMS int64
}

func (e *ShopError) Error() string { return "the shop refused: " + e.Code }

// Wanted is a license to be fetched: what, from whom, and where that is.
type Wanted struct {
	Content ident.Content `json:"content"`
	URL     string        `json:"url"`
	Peer    ident.Device  `json:"peer"`             // device ID of the shop's trusted module
	Issuer  ident.Issuer  `json:"issuer,omitempty"` // its ID, as its certificate has it
	// Under is the request's ID; default random. Under one that was answered
	// before, the shop gives the same again.
	Under ident.Request `json:"under,omitzero"`
}

// Errors of a Courier for a shop that asks who its customer is.
var (
	ErrNoAccount = errors.New("home: the shop wants to see an account, and this house has none for it")
	ErrAccount   = errors.New("home: the shop does not accept the account of this house")
)

// AccountLater is an error of a Courier: wrong accounts were shown to the shop from
// where this house is, or at this account's name, and it looks at none for a time.
type AccountLater struct{ RetryMS int64 }

func (AccountLater) Error() string { return "home: the shop looks at no account now" }

// pending is a request that has no final answer yet. Its ID never changes, so
// a shop that answered one whose answer was lost gives the same answer again.
type pending struct {
	Wanted
	Request ident.Request `json:"request"`
	Since   time.Time     `json:"since"`
	// Installed: the license is held, but the shop has not been seen to close
	// the transfer.
	Installed bool `json:"installed,omitempty"`
}

type shop struct {
	mu   sync.Mutex
	dir  string
	list []pending              // guarded by mu
	busy map[ident.Request]bool // guarded by mu
}

type shopState struct {
	Requests []pending `json:"requests"`
}

func openShop(dir string) (*shop, error) {
	s := &shop{dir: dir, busy: map[ident.Request]bool{}}
	var st shopState
	err := load(dir, requestsFile, &st)
	s.list = st.Requests
	return s, err
}

// begin returns the open request for w, or a new one that is on disk.
func (s *shop) begin(w Wanted, now time.Time) (pending, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.list {
		if p.Content == w.Content && p.Peer == w.Peer && !p.Installed {
			if s.busy[p.Request] {
				return pending{}, ErrBusy
			}
			p.URL = w.URL // the shop may have moved
			s.busy[p.Request] = true
			return p, nil
		}
	}
	if len(s.list) >= maxRequests {
		return pending{}, fmt.Errorf("%w: too many requests wait for an answer", ErrBusy)
	}
	id := w.Under
	if id == (ident.Request{}) {
		id = ident.NewRequest()
	}
	w.Under = ident.Request{}
	p := pending{Wanted: w, Request: id, Since: now.UTC().Truncate(time.Second)}
	list := append(slices.Clone(s.list), p)
	if err := save(s.dir, requestsFile, shopState{Requests: list}); err != nil {
		return pending{}, err
	}
	s.list = list
	s.busy[p.Request] = true
	return p, nil
}

// resume marks a request as being worked on, unless it is already or is gone.
func (s *shop) resume(id ident.Request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[id] || !slices.ContainsFunc(s.list, func(p pending) bool { return p.Request == id }) {
		return false
	}
	s.busy[id] = true
	return true
}

func (s *shop) all() []pending {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list)
}

// end records what became of a request and frees it.
func (s *shop) end(id ident.Request, answered, installed bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.busy, id)
	i := slices.IndexFunc(s.list, func(p pending) bool { return p.Request == id })
	if i < 0 || !answered && !installed || !answered && s.list[i].Installed == installed {
		return nil
	}
	list := slices.Clone(s.list)
	if answered {
		list = slices.Delete(list, i, i+1)
	} else {
		list[i].Installed = true
	}
	if err := save(s.dir, requestsFile, shopState{Requests: list}); err != nil {
		return err
	}
	s.list = list
	return nil
}

// Fetch gets a license from a shop and returns its ID once it is durably held.
// A shop that refuses is a *ShopError; any other error leaves the request open,
// and Run and later calls ask again under the same request ID.
func (h *Home) Fetch(ctx context.Context, w Wanted) (ident.License, error) {
	if h.cfg.Courier == nil {
		return ident.License{}, errors.New("home: no courier to shops")
	}
	p, err := h.shop.begin(w, h.cfg.Now())
	if err != nil {
		return ident.License{}, err
	}
	defer h.publish(Event{Kind: EventWaits})
	return h.ask(ctx, p)
}

func (h *Home) ask(ctx context.Context, p pending) (ident.License, error) {
	opened, err := h.cfg.Module.Open(ctx, trem.LicenseRequest{Peer: p.Peer, Request: p.Request, Content: p.Content, Issuer: p.Issuer})
	if err != nil {
		return ident.License{}, errors.Join(fmt.Errorf("open the exchange: %w", err), h.shop.end(p.Request, false, false))
	}
	events, err := h.cfg.Courier(ctx, p.URL, p.Peer, opened)
	o := read(events)
	if o.installed != nil {
		h.noteSource(ctx, p.Wanted)
		h.log.LogAttrs(ctx, slog.LevelInfo, "license held", slog.Any("license", o.installed.License), slog.Bool("closed", o.closed))
		h.publish(Event{Kind: EventLibrary})
		if !o.closed {
			return o.installed.License, h.shop.end(p.Request, false, true)
		}
		if err := h.close(ctx, p); err != nil { // the license is held; settleOnce tries again
			h.log.LogAttrs(ctx, slog.LevelWarn, "request still open", slog.Any("request", p.Request), slog.Any("error", err))
		}
		return o.installed.License, nil
	}
	if o.refused != nil {
		no := &ShopError{Code: o.refused.Code, RetryMS: o.refused.RetryMS}
		h.log.LogAttrs(ctx, slog.LevelInfo, "request refused", slog.String("code", no.Code))
		return ident.License{}, errors.Join(no, h.shop.end(p.Request, no.RetryMS == 0, false))
	}
	if o.failed != nil {
		err = errors.Join(err, fmt.Errorf("home: the exchange ended: %s", o.failed.Text))
	}
	if err == nil {
		err = errors.New("home: the shop sent no license")
	}
	return ident.License{}, errors.Join(err, h.shop.end(p.Request, false, false))
}

type outcome struct {
	installed, refused, failed *trem.Event
	closed                     bool
	transfer                   ident.Transfer // that was closed
}

// read finds what an exchange led to. A stateless license needs no closing.
func read(events []trem.Event) (o outcome) {
	for i := range events {
		e := &events[i]
		switch e.Kind {
		case trem.EventInstalled:
			o.installed = e
			o.closed = o.closed || e.Transfer.Seq == 0
		case trem.EventClosed:
			o.closed, o.transfer = true, e.Transfer
			if o.installed == nil && e.License != (ident.License{}) { // a repetition: it was installed before
				o.installed = e
			}
		case trem.EventRefused:
			o.refused = e
		case trem.EventFailed:
			o.failed = e
		default: // the rest is between the modules
		}
	}
	return o
}

// AskAgain asks now what Run asks every while: the requests that have no answer yet.
func (h *Home) AskAgain(ctx context.Context) { h.settleOnce(ctx) }

// Sources lists where titles came from, the newest last.
func (h *Home) Sources() []Wanted { return h.sources.all() }

// settleOnce asks again what was never answered and closes with the shops what
// was left open. Both are repeats; nothing happens twice.
func (h *Home) settleOnce(ctx context.Context) {
	if h.cfg.Courier == nil {
		return
	}
	for _, p := range h.shop.all() {
		if ctx.Err() != nil || !h.shop.resume(p.Request) {
			continue
		}
		var err error
		if p.Installed {
			err = h.close(ctx, p)
		} else {
			_, err = h.ask(ctx, p)
		}
		if err != nil && ctx.Err() == nil {
			h.log.LogAttrs(ctx, slog.LevelWarn, "request still open", slog.Any("request", p.Request), slog.Any("error", err))
		}
	}
}

// close has the module repeat its receipts until the shop has closed all of its
// transfers, the first one first. One that was closed may still be named: then an
// earlier request has no answer yet, and this one waits for it.
func (h *Home) close(ctx context.Context, p pending) error {
	for last := (ident.Transfer{}); ; {
		opened, err := h.cfg.Module.Resend(ctx, p.Peer)
		if err != nil {
			return errors.Join(fmt.Errorf("resend: %w", err), h.shop.end(p.Request, false, true))
		}
		if len(opened.Messages) == 0 { // nothing is open with this shop
			return h.shop.end(p.Request, true, true)
		}
		events, err := h.cfg.Courier(ctx, p.URL, p.Peer, opened)
		o := read(events)
		if err != nil || !o.closed || o.transfer == last {
			return errors.Join(err, h.shop.end(p.Request, false, true))
		}
		last = o.transfer
	}
}

// Waiting lists the requests that have no final answer yet.
func (h *Home) Waiting() []Wanted {
	var out []Wanted
	for _, p := range h.shop.all() {
		if !p.Installed {
			out = append(out, p.Wanted)
		}
	}
	return out
}
