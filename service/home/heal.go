package home

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// PathLogs is where members leave and fetch copies of each other's sealed logs.
// Source: local, docs/spec/home-api.md.
const PathLogs = "/house/v1/logs"

// Healer is what a module does about its log.
type Healer interface {
	Status(ctx context.Context) (trem.Status, error)
	Log(ctx context.Context, want [][32]byte) (trem.Log, []byte, error)
	Heal(ctx context.Context, segments [][]byte) (trem.Healed, error)
	Kept(ctx context.Context) ([]trem.LogSeen, error)
}

// LogsOf is the list of one module's copies, as it is answered.
type LogsOf struct {
	Copies  []LogCopy `json:"copies"`
	Seen    []byte    `json:"seen,omitempty"`     // the HEAD of that module that the house's module keeps
	SetBack bool      `json:"set_back,omitempty"` // of the house's own: its module was set back and takes what others keep
}

// LogsMissing are the segments that are missing of a copy that was offered.
type LogsMissing struct {
	Missing []content.Digest `json:"missing"`
}

// LoggedDevices are the modules whose logs the house has copies of, its own included.
func (h *Home) LoggedDevices() []ident.Device { return h.logs.Devices() }

// LogsOf lists the copies of a module's log. Of the house's own it has the
// newest.
func (h *Home) LogsOf(ctx context.Context, id ident.Device) (LogsOf, error) {
	out := LogsOf{}
	st, err := h.cfg.Module.Status(ctx)
	if err != nil {
		return out, err
	}
	if id == st.Device {
		if out.SetBack = st.SetBack; !st.SetBack {
			if err := KeepOwnLog(ctx, h.cfg.Module, h.logs, id); err != nil {
				return out, err
			}
		}
	}
	seen, err := seenOf(ctx, h.cfg.Module, id)
	out.Copies, out.Seen = h.logs.Copies(id), seen.Head
	return out, err
}

// LogSegment is one segment of a kept log.
func (h *Home) LogSegment(id ident.Device, sum content.Digest) ([]byte, error) {
	return h.logs.Segment(id, sum)
}

// OfferLog takes a copy of a member's log, or of the house's own when its module
// was set back: with the last segment it heals.
func (h *Home) OfferLog(ctx context.Context, id ident.Device, c LogCopy) (LogsMissing, error) {
	st, err := h.cfg.Module.Status(ctx)
	if err != nil {
		return LogsMissing{}, err
	}
	if id != st.Device && !h.isMember(id) || id == st.Device && !st.SetBack {
		return LogsMissing{}, ErrUnknown
	}
	seen, err := seenOf(ctx, h.cfg.Module, id)
	if err != nil {
		return LogsMissing{}, err
	}
	missing, err := h.logs.Offer(id, c, seen)
	if err == nil && len(missing) == 0 && id == st.Device {
		h.healOnce(ctx)
	}
	return LogsMissing{Missing: append([]content.Digest{}, missing...)}, err
}

// PutLogSegment takes a segment that OfferLog has named.
func (h *Home) PutLogSegment(id ident.Device, data []byte) error { return h.logs.Put(id, data) }

// healOnce heals the house's module when it was set back and a copy of its log
// is here.
func (h *Home) healOnce(ctx context.Context) {
	healed, err := HealFrom(ctx, h.cfg.Module, h.logs)
	switch {
	case err != nil && ctx.Err() == nil:
		h.log.LogAttrs(ctx, slog.LevelWarn, "not healed", slog.Any("error", err))
	case healed:
		h.log.LogAttrs(ctx, slog.LevelInfo, "the module was set back and is whole again")
		h.publish(Event{Kind: EventLibrary})
	}
}

func seenOf(ctx context.Context, m Healer, id ident.Device) (trem.LogSeen, error) {
	list, err := m.Kept(ctx)
	if err != nil {
		return trem.LogSeen{}, err
	}
	if i := slices.IndexFunc(list, func(s trem.LogSeen) bool { return s.Device == id }); i >= 0 {
		return list[i], nil
	}
	return trem.LogSeen{}, nil
}

// KeepOwnLog brings the copy of a module's own log up to date.
func KeepOwnLog(ctx context.Context, m Healer, logs *Logs, self ident.Device) error {
	return SendLog(ctx, m, func(c LogCopy) ([]content.Digest, error) {
		return logs.Offer(self, c, trem.LogSeen{Device: self, Incarnation: c.Incarnation, Counter: c.Counter})
	}, func(data []byte) error { return logs.Put(self, data) })
}

// errRestless is a log that changed each time it was sent.
var errRestless = errors.New("home: the log changes faster than it is copied")

// SendLog gives a module's log to a keeper: it is offered, and the segments that
// are missing there are put.
func SendLog(ctx context.Context, m Healer, offer func(LogCopy) ([]content.Digest, error), put func([]byte) error) error {
	for range 4 { // it grows meanwhile
		l, _, err := m.Log(ctx, nil)
		if err != nil {
			return err
		}
		missing, err := offer(CopyOf(l))
		if err != nil || len(missing) == 0 {
			return err
		}
		want := make([][32]byte, len(missing))
		for i, d := range missing {
			want[i] = d
		}
		l, data, err := m.Log(ctx, want)
		if err != nil {
			return err
		}
		for _, s := range l.Segments {
			if !s.Here {
				continue
			}
			if err := put(data[:s.Size]); err != nil {
				return err
			}
			data = data[s.Size:]
		}
	}
	return errRestless
}

// HealFrom heals a module that was set back from the copies of its log in a
// folder, the furthest first. It reports whether it did; the error is why the
// last one that was tried did not.
func HealFrom(ctx context.Context, m Healer, logs *Logs) (healed bool, err error) {
	st, err := m.Status(ctx)
	if err != nil || !st.SetBack {
		return false, err
	}
	for _, c := range logs.Copies(st.Device) {
		segments, broken := logs.Whole(st.Device, c)
		if broken != nil {
			err = broken
			continue
		}
		if _, err = m.Heal(ctx, segments); err == nil {
			return true, nil
		}
		if e, ok := errors.AsType[*trem.Error](err); !ok || e.Code == trem.CodeBroken {
			return false, err
		}
	}
	return false, err
}
