package home

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/security/trem"
)

// door is the module's place in the relay. It is made at the first frame,
// because a module has its final address only once it runs.
type door struct {
	mu       sync.Mutex
	endpoint *lrp.Endpoint // guarded by mu
	receive  time.Time     // guarded by mu; until then a gift is expected
}

// Frame serves one frame of a device: its SLTP message goes to the module as
// it is, and the answer back. What it led to is logged without titles.
func (h *Home) Frame(ctx context.Context, f lrp.Frame) []lrp.Frame {
	e, err := h.endpoint(ctx)
	if err != nil {
		h.log.LogAttrs(ctx, slog.LevelError, "no module for a frame", slog.Any("error", err))
		return []lrp.Frame{lrp.ErrorFrame(f, lrp.CodeInternal, 0)}
	}
	if m, ok := letterIn(f); ok {
		return h.mail(ctx, e, f, m)
	}
	return e.Handle(f, h.cfg.Now(), func(src lrp.Addr, m lrp.SLTP) ([]lrp.SLTP, error) {
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
	e, err := lrp.NewEndpoint(lrp.EndpointConfig{Self: lrp.Addr(st.Device)})
	if err != nil {
		return nil, err
	}
	h.door.endpoint = e
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
		default: // the rest is between the modules
		}
	}
}
