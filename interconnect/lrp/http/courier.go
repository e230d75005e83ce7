package http

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// Limits of one carried exchange. Source: local, docs/spec/lrp.md section 6.
const (
	// MaxMessages is how many messages a module may send in one exchange.
	MaxMessages = 64
	// MaxTries is how often one frame is sent before the exchange is given up.
	MaxTries = 5
	// FirstWait is the pause before the second try; each later one doubles it.
	FirstWait = 100 * time.Millisecond
	// MaxWait bounds a pause, whatever the peer advises and chance adds.
	MaxWait = 5 * time.Second
)

// ErrSilent is returned when the peer stopped answering before the module had
// a result, as after its restart: open again with the same request ID.
var ErrSilent = errors.New("lrp: the peer answers no more; ask again")

// Module is the part of a TREM that a courier drives; *trem.Client is one.
type Module interface {
	Receive(ctx context.Context, m trem.SLTPMessage) (trem.Received, error)
}

// Courier carries SLTP messages between a module of this process and one peer.
// It holds nothing: each Fetch is one transaction.
type Courier struct {
	Module Module           // required
	Link   lrp.Exchanger    // required
	Src    ident.Device     // required: the module's own ID
	Dst    ident.Device     // required: the peer's
	Now    func() time.Time // required
}

// Fetch carries an opened exchange to its end and returns what it led to, in
// order. Lost requests are repeated with the same bytes. When it fails in the
// middle the events so far are returned with the error: an installed license
// is installed.
func (c *Courier) Fetch(ctx context.Context, opened trem.Opened) ([]trem.Event, error) {
	if c.Module == nil || c.Link == nil || c.Now == nil {
		return nil, errors.New("lrp: courier without module, link or clock")
	}
	tx := lrp.NewTransaction(lrp.Addr(c.Dst), lrp.Addr(c.Src), c.Now(), lrp.Life)
	var events []trem.Event
	queue := opened.Messages
	for n := 0; len(queue) > 0; n++ {
		if n == MaxMessages {
			return events, fmt.Errorf("lrp: exchange of more than %d messages", MaxMessages)
		}
		answers, err := c.carry(ctx, tx, queue[0])
		if err != nil {
			return events, err
		}
		queue = queue[1:]
		for _, m := range answers {
			got, err := c.Module.Receive(ctx, trem.SLTPMessage{CID: m.CID, Bytes: m.Message})
			if err != nil {
				return events, err
			}
			events = append(events, got.Events...)
			queue = append(queue, got.Messages...)
		}
	}
	if len(events) == 0 {
		return nil, ErrSilent
	}
	return events, nil
}

// carry sends one message and returns the peer's messages in answer to it.
func (c *Courier) carry(ctx context.Context, tx *lrp.Transaction, m trem.SLTPMessage) ([]lrp.SLTP, error) {
	body, err := lrp.SLTP{CID: m.CID, Message: m.Bytes}.Encode()
	if err != nil {
		return nil, err
	}
	frame := tx.Next(lrp.TypeSLTP, body)
	wait := FirstWait
	for try := 1; ; try++ {
		out, err := c.once(ctx, tx, frame)
		advice, again := worthRetry(err)
		if !again || try == MaxTries {
			return out, err
		}
		if err := pause(ctx, spread(min(max(wait, advice), MaxWait*2/3))); err != nil {
			return nil, err
		}
		wait *= 2
	}
}

func (c *Courier) once(ctx context.Context, tx *lrp.Transaction, f lrp.Frame) ([]lrp.SLTP, error) {
	frames, err := c.Link.Exchange(ctx, f)
	if err != nil {
		return nil, err
	}
	var out []lrp.SLTP
	for _, a := range frames {
		if err := tx.Check(a); err != nil {
			return nil, err
		}
		if a.Type != lrp.TypeSLTP {
			continue // an ACK, or what a later version says besides
		}
		m, err := lrp.ParseSLTP(a.Body)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// spread makes a pause longer by up to a half, by chance: many that were told to
// come again, or that lost the same server, do not come at once.
func spread(d time.Duration) time.Duration { return d + rand.N(d/2+1) } //nolint:gosec // a pause is no secret

func worthRetry(err error) (advice time.Duration, again bool) {
	if l, ok := errors.AsType[*later](err); ok {
		return l.after, true
	}
	if e, ok := errors.AsType[*lrp.Error](err); ok {
		return time.Duration(e.RetryMS) * time.Millisecond, e.Code.Retry()
	}
	return 0, errors.Is(err, lrp.ErrLost)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
