package home

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// Limits of the mailbox. Source: local, docs/spec/lrp.md section 7.
const (
	// MailLife is how long a letter waits for its member.
	MailLife = 7 * 24 * time.Hour

	maxMailSource  = 32        // letters of one source in one member's box
	maxSourceBytes = 512 << 10 // and their bytes
	maxMailBox     = 256       // letters of one member
	maxBoxBytes    = 4 << 20   // and their bytes
)

const mailFile = "mail.json"

// Letter is a letter that waits for a member.
type Letter struct {
	Number uint64       `json:"number"` // ascending; a newer letter of one topic takes a new one
	From   ident.Device `json:"from"`   // as its frame says; not proven
	Topic  []byte       `json:"topic"`
	At     time.Time    `json:"at"`
	Bytes  []byte       `json:"bytes"`
	Says   uint64       `json:"says,omitzero"` // of the house's own: what its module says it says
}

// mailbox keeps letters for members that are away. It reads none of them. What
// it loses, their writers send again.
type mailbox struct {
	mu   sync.Mutex
	dir  string
	next uint64                    // guarded by mu
	box  map[ident.Device][]Letter // guarded by mu
	away map[ident.Device]string   // guarded by mu; URLs of other houses, by their servers
}

type mailState struct {
	Next  uint64                    `json:"next"`
	Boxes map[ident.Device][]Letter `json:"boxes"`
	Away  map[ident.Device]string   `json:"houses,omitempty"`
}

// openMailbox reads what waits. Numbers go on above all that were given before,
// also when the file was lost with its disk: members ask for what is above the
// highest that they have seen.
func openMailbox(dir string, now time.Time) (*mailbox, error) {
	m := &mailbox{dir: dir, next: 1, box: map[ident.Device][]Letter{}, away: map[ident.Device]string{}}
	var st mailState
	if err := load(dir, mailFile, &st); err != nil {
		return nil, err
	}
	if st.Boxes != nil {
		m.next, m.box = st.Next, st.Boxes
	}
	m.next = max(m.next, uint64(now.UnixMilli()))
	if st.Away != nil {
		m.away = st.Away
	}
	return m, nil
}

// maxHouses bounds the other houses that are remembered. Source: local.
const maxHouses = 256

// meet notes where another house's server is reached.
func (m *mailbox) meet(id ident.Device, url string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away[id] == url {
		return nil
	}
	if len(m.away) >= maxHouses {
		return ErrMailFull
	}
	away := maps.Clone(m.away)
	away[id] = url
	if err := save(m.dir, mailFile, mailState{Next: m.next, Boxes: m.box, Away: away}); err != nil {
		return err
	}
	m.away = away
	return nil
}

// address is where another house's server is reached.
func (m *mailbox) address(id ident.Device) (url string, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	url, ok = m.away[id]
	return url, ok
}

// ErrMailFull is returned when a member's box, or a source's share of it, is
// full: nothing is put out for a newcomer.
var ErrMailFull = errors.New("home: the mailbox is full")

// put keeps a letter. One of the same source and topic goes for it.
func (m *mailbox) put(to ident.Device, l Letter) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []Letter
	bytes, own, ownBytes := len(l.Bytes), 1, len(l.Bytes)
	for _, old := range m.box[to] {
		if l.At.Sub(old.At) > MailLife || old.From == l.From && slices.Equal(old.Topic, l.Topic) {
			continue
		}
		list = append(list, old)
		bytes += len(old.Bytes)
		if old.From == l.From {
			own, ownBytes = own+1, ownBytes+len(old.Bytes)
		}
	}
	if len(list) >= maxMailBox || bytes > maxBoxBytes || own > maxMailSource || ownBytes > maxSourceBytes {
		return ErrMailFull
	}
	l.Number = m.next
	boxes := maps.Clone(m.box)
	boxes[to] = append(list, l)
	if err := save(m.dir, mailFile, mailState{Next: m.next + 1, Boxes: boxes, Away: m.away}); err != nil {
		return err
	}
	m.box, m.next = boxes, m.next+1
	return nil
}

// LettersFor are the letters of a member with a number above after. They stay,
// in case the answer is lost, until they are a week old or made useless.
func (h *Home) LettersFor(id ident.Device, after uint64) []Letter {
	h.mailbox.mu.Lock()
	defer h.mailbox.mu.Unlock()
	out := []Letter{}
	for _, l := range h.mailbox.box[id] {
		if l.Number > after && h.cfg.Now().Sub(l.At) <= MailLife {
			out = append(out, l)
		}
	}
	return out
}

// letterIn is the letter in a frame, if it is one.
func letterIn(f lrp.Frame) ([]byte, bool) {
	if f.Type != lrp.TypeSLTP {
		return nil, false
	}
	m, err := lrp.ParseSLTP(f.Body)
	return m.Message, err == nil && m.CID == nil && trem.IsLetter(m.Message)
}

// mail takes a letter: for the house's module it is read at once and what it
// has to say to the writer is the answer; for a member it is kept.
func (h *Home) mail(ctx context.Context, e *lrp.Endpoint, f lrp.Frame, letter []byte) []lrp.Frame {
	to, from := ident.Device(f.Dst), ident.Device(f.Src)
	if !h.isMember(to) {
		return e.Handle(f, h.cfg.Now(), func(lrp.Addr, lrp.SLTP) ([]lrp.SLTP, error) {
			return h.post(ctx, from, letter)
		})
	}
	if f.Expires <= h.cfg.Now().UnixMilli() {
		return []lrp.Frame{lrp.ErrorFrame(f, lrp.CodeExpired, 0)}
	}
	err := h.mailbox.put(to, Letter{From: from, Topic: f.Tx[:], At: h.cfg.Now().UTC().Truncate(time.Second), Bytes: letter})
	switch {
	case errors.Is(err, ErrMailFull):
		return []lrp.Frame{lrp.ErrorFrame(f, lrp.CodeFull, 0)}
	case err != nil:
		h.log.LogAttrs(ctx, slog.LevelError, "letter not kept", slog.Any("error", err))
		return []lrp.Frame{lrp.ErrorFrame(f, lrp.CodeInternal, 0)}
	}
	return []lrp.Frame{lrp.Acknowledge(f)}
}

func (h *Home) isMember(id ident.Device) bool {
	h.members.mu.Lock()
	defer h.members.mu.Unlock()
	return slices.ContainsFunc(h.members.devices, func(d Device) bool { return d.ID == id })
}

// post gives a letter to the house's module, keeps what it writes to members,
// and returns what it writes to the one who asked.
func (h *Home) post(ctx context.Context, from ident.Device, letter []byte) ([]lrp.SLTP, error) {
	got, err := h.cfg.Module.Post(ctx, letter)
	if err != nil {
		h.log.LogAttrs(ctx, slog.LevelWarn, "letter not taken", slog.Any("from", from), slog.Any("error", err))
		return nil, err
	}
	h.note(ctx, got.Events)
	var out []lrp.SLTP
	for _, l := range got.Letters {
		if l.To == from {
			out = append(out, lrp.SLTP{Message: l.Bytes})
		} else if _, err := h.deliver(ctx, l); err != nil {
			return nil, err
		}
	}
	if len(got.Events) > 0 {
		h.publish(Event{Kind: EventLibrary})
	}
	return out, nil
}

// keep puts a letter of the house's own module into a member's box.
func (h *Home) keep(l trem.Letter) error {
	st, err := h.cfg.Module.Status(context.Background())
	if err != nil {
		return err
	}
	return h.mailbox.put(l.To, Letter{From: st.Device, Topic: l.Topic[:], At: h.cfg.Now().UTC().Truncate(time.Second), Bytes: l.Bytes, Says: l.Says})
}

// postOnce ends the loans whose time is over, and writes again to members what
// they have not answered.
func (h *Home) postOnce(ctx context.Context) {
	got, err := h.cfg.Module.Letters(ctx)
	if err != nil {
		if ctx.Err() == nil {
			h.log.LogAttrs(ctx, slog.LevelWarn, "no letters", slog.Any("error", err))
		}
		return
	}
	h.note(ctx, got.Events)
	if len(got.Events) > 0 {
		h.publish(Event{Kind: EventLibrary})
	}
	fresh := got.Letters[:0]
	for _, l := range got.Letters {
		if !l.Again || !h.waits(l) {
			fresh = append(fresh, l)
		}
	}
	if len(fresh) > 0 {
		h.sent(ctx, trem.Handed{Letters: fresh})
	}
}

// resendAfter is how old a letter is before the same thing is written again. Source: local.
const resendAfter = 24 * time.Hour

func (h *Home) waits(l trem.Letter) bool {
	h.mailbox.mu.Lock()
	defer h.mailbox.mu.Unlock()
	return slices.ContainsFunc(h.mailbox.box[l.To], func(o Letter) bool {
		return slices.Equal(o.Topic, l.Topic[:]) && o.Says == l.Says && h.cfg.Now().Sub(o.At) < resendAfter
	})
}
