package home

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/sltp"
	"github.com/lares-drm/lares/security/trem"
)

// door is the module's place in the relay. It is made at the first frame,
// because a module has its final address only once it runs.
type door struct {
	mu       sync.Mutex
	endpoint *lrp.Endpoint // guarded by mu
	relay    *lrp.Relay    // guarded by mu
	receive  time.Time     // guarded by mu; until then a gift is expected
}

// Frame serves one frame of which nobody knows on which link it came.
func (h *Home) Frame(ctx context.Context, f lrp.Frame) []lrp.Frame {
	return h.FrameBy(ctx, lrp.Arrival{}, f)
}

// FrameBy serves one frame: what is for the house's module goes there as it is, and
// the answer back; what is for a member waits in its box, if its source has proven
// itself. What it led to is logged without titles.
func (h *Home) FrameBy(ctx context.Context, by lrp.Arrival, f lrp.Frame) []lrp.Frame {
	e, err := h.endpoint(ctx)
	if err != nil {
		h.log.LogAttrs(ctx, slog.LevelError, "no module for a frame", slog.Any("error", err))
		return []lrp.Frame{lrp.ErrorFrame(f, lrp.CodeInternal, 0)}
	}
	if h.isMember(ident.Device(f.Dst)) {
		return h.forMember(ctx, e, by, f)
	}
	if m, ok := letterIn(f); ok {
		return e.HandleBy(by, f, h.cfg.Now(), func(src lrp.Addr, _ lrp.SLTP) ([]lrp.SLTP, error) {
			return h.post(ctx, ident.Device(src), m)
		})
	}
	return e.HandleBy(by, f, h.cfg.Now(), func(src lrp.Addr, m lrp.SLTP) ([]lrp.SLTP, error) {
		got, err := h.cfg.Module.Receive(ctx, trem.SLTPMessage{CID: m.CID, Bytes: m.Message})
		if err != nil {
			h.log.LogAttrs(ctx, slog.LevelWarn, "message not served", slog.Any("from", src), slog.Any("error", err))
			return nil, err
		}
		h.note(ctx, got.Events)
		out := make([]lrp.SLTP, 0, len(got.Messages))
		for _, m := range got.Messages {
			out = append(out, lrp.SLTP{CID: m.CID, Message: m.Bytes})
		}
		return out, nil
	})
}

// FrameLeft serves a frame that waited elsewhere for the house's module, as in a
// relay's mailbox: who left it is not there. What the module writes to members goes
// into their boxes; what else answers it is returned. The error is the module's.
func (h *Home) FrameLeft(ctx context.Context, f lrp.Frame) ([]lrp.Frame, error) {
	m, ok := letterIn(f)
	if !ok {
		return h.FrameBy(ctx, lrp.Arrival{}, f), nil
	}
	_, err := h.post(ctx, ident.Device{}, m) // nobody is answered at once
	return nil, err
}

// forMember keeps a frame for a member.
func (h *Home) forMember(ctx context.Context, e *lrp.Endpoint, by lrp.Arrival, f lrp.Frame) []lrp.Frame {
	now := h.cfg.Now()
	if !h.knows(f.Src) || by.Signed != f.Src && !e.Proved(by.Link, f.Src, now) {
		return []lrp.Frame{lrp.ErrorFrame(f, lrp.CodeUnproven, 0)}
	}
	h.door.mu.Lock()
	h.door.relay.Box(f.Dst, true)
	h.mailbox.mu.Lock()
	step := h.door.relay.Handle(f, now)
	if step.Kept != nil {
		close(h.mailbox.news)
		h.mailbox.news = make(chan struct{})
	}
	h.mailbox.mu.Unlock()
	h.door.mu.Unlock()
	if len(step.Answer) == 1 && step.Answer[0].Type == lrp.TypeError {
		if e, err := lrp.ParseError(step.Answer[0].Body); err == nil && e.Code == lrp.CodeInternal {
			h.log.LogAttrs(ctx, slog.LevelError, "frame for a member not kept", slog.Any("to", f.Dst))
		}
	}
	return step.Answer
}

// knows reports whether an address may prove itself here: of a member, or of one
// that was, which may have something to close.
func (h *Home) knows(a lrp.Addr) bool {
	h.members.mu.Lock()
	defer h.members.mu.Unlock()
	id := ident.Device(a)
	return slices.ContainsFunc(h.members.devices, func(d Device) bool { return d.ID == id }) || slices.Contains(h.members.former, id)
}

// ErrUnproven is returned when a request has to come on a link on which its
// device, or any of the house, has proven itself, and does not.
var ErrUnproven = errors.New("home: the sender has not proven which device it is")

// ProvenAs checks that the device has proven itself on the link.
func (h *Home) ProvenAs(ctx context.Context, link lrp.LinkID, id ident.Device) error {
	e, err := h.endpoint(ctx)
	if err != nil {
		return err
	}
	if !e.Proved(link, lrp.Addr(id), h.cfg.Now()) {
		return ErrUnproven
	}
	return nil
}

// ProvenMember checks that some device of the house has proven itself on the link.
func (h *Home) ProvenMember(ctx context.Context, link lrp.LinkID) error {
	e, err := h.endpoint(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(e.Sources(link, h.cfg.Now()), func(a lrp.Addr) bool { return h.isMember(ident.Device(a)) }) {
		return ErrUnproven
	}
	return nil
}

// ProvenWatcher is ProvenMember, and who watches there: nil where a device is everybody's,
// and of several children's or guests' the youngest, when all of them may watch.
func (h *Home) ProvenWatcher(ctx context.Context, link lrp.LinkID) (*Watcher, error) {
	if err := h.ProvenMember(ctx, link); err != nil {
		return nil, err
	}
	e, err := h.endpoint(ctx)
	if err != nil {
		return nil, err
	}
	var who []*Person
	for _, src := range e.Sources(link, h.cfg.Now()) {
		switch p, err := h.narrowed(ident.Device(src)); {
		case err != nil: // none of the house
		case p == nil:
			return nil, nil //nolint:nilnil // the house itself is one of the answers
		default:
			who = append(who, p)
		}
	}
	if len(who) == 0 {
		return nil, ErrUnproven // the last one was put out meanwhile
	}
	return together(who, h.cfg.Now()), nil
}

// together is who watches where several do of whom nobody knows which one asks: the
// youngest, in hours in which all of them may now.
func together(all []*Person, now time.Time) *Watcher {
	out := *all[0]
	for _, p := range all[1:] {
		hours := out.Hours.and(p.Hours, now)
		if p.bounds().Age < out.bounds().Age {
			out = *p
		}
		out.Hours = hours
	}
	return &Watcher{Person: out}
}

// Wait returns frames that wait for who has proven itself on the link, with numbers
// above after: at once where there are some, else when the first comes or ctx ends.
func (h *Home) Wait(ctx context.Context, link lrp.LinkID, after uint64) ([]lrp.Kept, error) {
	e, err := h.endpoint(ctx)
	if err != nil {
		return nil, err
	}
	for {
		now := h.cfg.Now()
		sources := e.Sources(link, now)
		if len(sources) == 0 {
			return nil, lrp.ErrProof
		}
		out, news := h.mailbox.waiting(sources, after, now)
		if len(out) > 0 {
			return out, nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return nil, nil
		}
	}
}

// MailFor are the frames that wait for a member, for a binding that takes them where
// it is.
func (h *Home) MailFor(dst lrp.Addr) []lrp.Kept {
	kept, _ := h.mailbox.waiting([]lrp.Addr{dst}, 0, h.cfg.Now())
	return kept
}

// Serves reports whether frames for an address are taken here: for the house's
// module, or for a member.
func (h *Home) Serves(ctx context.Context, dst lrp.Addr) bool {
	st, err := h.cfg.Module.Status(ctx)
	return err == nil && dst == lrp.Addr(st.Device) || h.isMember(ident.Device(dst))
}

func (h *Home) endpoint(ctx context.Context) (*lrp.Endpoint, error) {
	h.door.mu.Lock()
	defer h.door.mu.Unlock()
	if h.door.endpoint != nil {
		return h.door.endpoint, nil
	}
	st, err := h.cfg.Module.Status(ctx)
	if err != nil {
		return nil, err
	}
	cfg := lrp.EndpointConfig{Self: lrp.Addr(st.Device), Known: h.knows, Prove: h.cfg.Prove, Hello: lrp.DefaultHello("http")}
	cfg.Content = func(_ lrp.Addr, c lrp.Content) ([]lrp.Content, error) { return h.Places(c) }
	if h.cfg.TLS != nil && cfg.Prove != nil {
		sum := h.cfg.TLS.CASum()
		cfg.Hello.TLS = sum[:]
	}
	if h.cfg.Relay != nil {
		long := context.WithoutCancel(ctx) // the endpoint outlives the first frame
		cfg.Epoch = h.cfg.Relay.Epoch
		cfg.Gossip = func(_ lrp.Addr, g lrp.Gossip) ([]lrp.Gossip, error) { return h.cfg.Relay.Gossip(long, g) }
	}
	e, err := lrp.NewEndpoint(cfg)
	if err != nil {
		return nil, err
	}
	h.door.endpoint, h.door.relay = e, &lrp.Relay{Self: lrp.Addr(st.Device), Mailbox: h.mailbox.box}
	return e, nil
}

// note logs what a device's message led to, and tells open pages that counts
// may have changed.
func (h *Home) note(ctx context.Context, events []trem.Event) {
	for i := range events {
		e := &events[i]
		switch e.Kind {
		case trem.EventReceipt:
			h.log.LogAttrs(ctx, slog.LevelInfo, "device has its copy", slog.Any("device", e.Peer), slog.Any("license", e.License), slog.Bool("installed", e.Installed))
			h.publish(Event{Kind: EventLibrary})
		case trem.EventRefused, trem.EventFailed:
			h.log.LogAttrs(ctx, slog.LevelInfo, "device refused", slog.Any("device", e.Peer), slog.String("code", e.Code), slog.String("rule", e.Text))
			if e.Code == sltp.ErrorExhausted.String() { // others may have what it asked for: they hear of it when they come
				h.postOnce(ctx)
			}
		case trem.EventBound:
			h.log.LogAttrs(ctx, slog.LevelInfo, "title bound to a device: its shop has ended", slog.Any("device", e.Peer))
		case trem.EventLeft:
			if err := h.departed(ctx, e.Peer); err != nil {
				h.log.LogAttrs(ctx, slog.LevelError, "a device has left and is still on the list", slog.Any("device", e.Peer), slog.Any("error", err))
			}
		default: // the rest is between the modules
		}
	}
}
