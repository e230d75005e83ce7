package home

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// MailLife is how long a letter waits for its member. Source: local, docs/spec/lrp.md section 7.
const MailLife = lrp.MailLife

// Names in the state folder.
const (
	mailFile   = "mail.json" // where other houses are; of earlier builds the letters, too
	mailFolder = "mail"      // a file for each frame that waits
	keptEnding = ".kept"
)

// Letter is a letter that waits for a member.
type Letter struct {
	Number uint64       `json:"number"` // ascending; a newer letter of one topic takes a new one
	From   ident.Device `json:"from"`   // proven when it came, or the house itself
	Topic  []byte       `json:"topic"`
	At     time.Time    `json:"at"`
	Bytes  []byte       `json:"bytes"`
	Says   uint64       `json:"says,omitzero"` // of the house's own: what its module says it says
}

// mailbox keeps frames for members that are away, and where other houses are. It
// opens no frame. What it loses, their writers send again.
type mailbox struct {
	mu    sync.Mutex
	dir   string
	box   *lrp.Mailbox            // guarded by mu
	news  chan struct{}           // guarded by mu; closed when something comes
	away  map[ident.Device]string // guarded by mu; URLs of other houses, by their servers
	stray int                     // files that are no records, at the start
}

type mailState struct {
	Next  uint64                    `json:"next,omitzero"`  // of earlier builds
	Boxes map[ident.Device][]Letter `json:"boxes,omitzero"` // of earlier builds
	Away  map[ident.Device]string   `json:"houses,omitempty"`
}

// shelf is the folder of what waits: lrp.Shelf.
type shelf struct{ dir string }

func (s shelf) name(number uint64) string { return strconv.FormatUint(number, 10) + keptEnding }

func (s shelf) Keep(number uint64, record []byte) error {
	return writeAtomic(s.dir, s.name(number), record)
}

func (s shelf) Drop(number uint64) error { return os.Remove(filepath.Join(s.dir, s.name(number))) }

// held reads the folder. What is no record, or stands under another's name, is
// left where it is and counted.
func (s shelf) held() (out []lrp.Kept, stray int, err error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, 0, fmt.Errorf("make the folder of letters: %w", err)
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, 0, fmt.Errorf("read the folder of letters: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") { // half written when the house was killed
			_ = os.Remove(filepath.Join(s.dir, e.Name()))
			continue
		}
		data, err := os.ReadFile(filepath.Join(s.dir, e.Name()))
		k, bad := lrp.ParseKept(data)
		if err != nil || bad != nil || e.Name() != s.name(k.Number) {
			stray++
			continue
		}
		out = append(out, k)
	}
	return out, stray, nil
}

// OpenMail opens a mailbox whose frames are in a folder: a house's, or that of a relay
// of its own. stray counts the files that are no records; they stay.
func OpenMail(dir string, now time.Time) (box *lrp.Mailbox, stray int, err error) {
	sh := shelf{dir}
	held, stray, err := sh.held()
	if err != nil {
		return nil, 0, err
	}
	return lrp.NewMailbox(sh, held, now), stray, nil
}

// openMailbox reads what waits. Numbers go on above all that were given before,
// also when the folder was lost with its disk: members ask for what is above the
// highest that they have seen.
func openMailbox(dir string, now time.Time) (*mailbox, error) {
	m := &mailbox{dir: dir, news: make(chan struct{}), away: map[ident.Device]string{}}
	var st mailState
	if err := load(dir, mailFile, &st); err != nil {
		return nil, err
	}
	if st.Away != nil {
		m.away = st.Away
	}
	sh := shelf{filepath.Join(dir, mailFolder)}
	held, stray, err := sh.held()
	if err != nil {
		return nil, err
	}
	old, err := st.records()
	if err != nil {
		return nil, err
	}
	for _, k := range old {
		record, err := k.Encode()
		if err == nil {
			err = sh.Keep(k.Number, record)
		}
		if err != nil {
			return nil, err
		}
	}
	m.box, m.stray = lrp.NewMailbox(sh, append(held, old...), now), stray
	if len(st.Boxes) > 0 {
		return m, save(dir, mailFile, mailState{Away: m.away})
	}
	return m, nil
}

// records are the letters that an earlier build kept.
func (st mailState) records() (out []lrp.Kept, err error) {
	for to, list := range st.Boxes {
		for _, l := range list {
			if len(l.Topic) != len(lrp.Tx{}) {
				continue // of nobody that wrote one
			}
			f, err := letterFrame(l.From, to, lrp.Tx(l.Topic), l.Bytes, l.At)
			if err != nil {
				return nil, err
			}
			out = append(out, lrp.Kept{Number: l.Number, At: l.At.UnixMilli(), Mark: l.Says, Frame: f})
		}
	}
	return out, nil
}

// letterFrame is a letter as a frame.
func letterFrame(from, to ident.Device, topic lrp.Tx, letter []byte, now time.Time) (lrp.Frame, error) {
	body, err := lrp.SLTP{Message: letter}.Encode()
	return lrp.Frame{
		Version: lrp.Version, Type: lrp.TypeSLTP, Dst: lrp.Addr(to), Src: lrp.Addr(from), Tx: topic,
		Seq: uint64(now.UnixMilli()), Expires: now.Add(MailLife + time.Second).UnixMilli(), Body: body,
	}, err
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
	if err := save(m.dir, mailFile, mailState{Away: away}); err != nil {
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

// ErrMailFull is returned when as many other houses are known as may be.
var ErrMailFull = errors.New("home: the mailbox is full")

// put keeps a frame, and wakes who waits for one.
func (m *mailbox) put(f lrp.Frame, mark uint64, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.box.Put(f, mark, now); err != nil {
		return err
	}
	close(m.news)
	m.news = make(chan struct{})
	return nil
}

// waiting is what waits for some addresses, and a channel that is closed when more comes.
func (m *mailbox) waiting(dst []lrp.Addr, after uint64, now time.Time) ([]lrp.Kept, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.box.Among(dst, after, now), m.news
}

// LettersFor are the letters of a member with a number above after. They stay,
// in case the answer is lost, until they are a week old or made useless.
func (h *Home) LettersFor(id ident.Device, after uint64) []Letter {
	out := []Letter{}
	kept, _ := h.mailbox.waiting([]lrp.Addr{lrp.Addr(id)}, after, h.cfg.Now())
	for _, k := range kept {
		m, err := lrp.ParseSLTP(k.Frame.Body)
		if k.Frame.Type != lrp.TypeSLTP || err != nil || m.CID != nil {
			continue // it comes by the way back of a binding
		}
		topic := k.Frame.Tx
		out = append(out, Letter{Number: k.Number, From: ident.Device(k.Frame.Src), Topic: topic[:], At: time.UnixMilli(k.At).UTC(), Bytes: m.Message, Says: k.Mark})
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
	now := h.cfg.Now()
	f, err := letterFrame(st.Device, l.To, l.Topic, l.Bytes, now)
	if err != nil {
		return err
	}
	return h.mailbox.put(f, l.Says, now)
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
	return slices.ContainsFunc(h.LettersFor(l.To, 0), func(o Letter) bool {
		return slices.Equal(o.Topic, l.Topic[:]) && o.Says == l.Says && h.cfg.Now().Sub(o.At) < resendAfter
	})
}
