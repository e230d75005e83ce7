package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/interconnect/lrp/file"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/revocation"
	"github.com/lares-drm/lares/security/sltp"
	"github.com/lares-drm/lares/security/trem"
)

// inquiryFile is an inquiry that was interrupted, in the device's folder. What is
// in it is public, and judged by the module.
const inquiryFile = "inquiry.cbor"

// inquiry is what this device asks a neighbor for the revocation state with. It
// goes on with what was interrupted before.
func (d *device) inquiry(st trem.Status, claimed uint64) (*lrp.Inquiry, error) {
	trust, err := pki.NewTrustStore(st.Roots...)
	if err != nil {
		return nil, err
	}
	known, err := knownEpoch(st)
	if err != nil {
		return nil, err
	}
	cfg := lrp.InquiryConfig{Known: known, Claimed: claimed, Max: revocation.MaxSnapshot, Judge: func(head []byte) (uint64, error) {
		c, err := revocation.ParseClaim(head)
		if err != nil {
			return 0, err
		}
		h, err := c.Verify(trust)
		if err != nil {
			return 0, err
		}
		return sltp.EpochToWire(h.Epoch)
	}}
	data, err := os.ReadFile(filepath.Join(d.dir, inquiryFile))
	if errors.Is(err, os.ErrNotExist) {
		return lrp.NewInquiry(cfg), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the inquiry: %w", err)
	}
	return lrp.Resume(cfg, data), nil
}

// knownEpoch is the epoch that a module has, as HELLO and GOSSIP write it.
func knownEpoch(st trem.Status) (uint64, error) {
	return sltp.EpochToWire(pki.Epoch{Generation: st.Signer, Number: st.Epoch})
}

// keepInquiry writes what an inquiry has come to; nil: it is over.
func (d *device) keepInquiry(q *lrp.Inquiry) error {
	name := filepath.Join(d.dir, inquiryFile)
	if q == nil {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("end the inquiry: %w", err)
		}
		return nil
	}
	data, err := q.Encode()
	if err != nil {
		return fmt.Errorf("keep the inquiry: %w", err)
	}
	return d.replace(inquiryFile, data)
}

// take has the module judge what an inquiry has found. refused is why it does not
// take it.
func (d *device) take(ctx context.Context, f lrp.Finding) (refused, err error) {
	c, err := revocation.ParseClaim(f.Head)
	if err != nil {
		return err, nil
	}
	l := trem.Learned{Head: c.Head, HeadChain: c.Chain, Rotations: c.Rotations, Delta: f.Delta, Snapshot: f.Snapshot}
	if len(c.Change) > 0 {
		l.Change = c.Change
	}
	if err = d.trem.Learn(ctx, l); isRejected(err) {
		return err, nil
	}
	return nil, err
}

// catchUp says HELLO to the house, and asks for the revocation state when it claims
// a newer one than this device has. A house that is away, or says nothing of it, is
// no error; one that claims a state and does not show it is refused.
func (d *device) catchUp(ctx context.Context) error {
	st, err := d.trem.Status(ctx)
	if err != nil || len(st.Roots) == 0 {
		return err
	}
	house := &lrphttp.Client{URL: d.cfg.Home, HTTP: d.web()}
	tx := lrp.NewTransaction(lrp.Addr(d.cfg.Server), lrp.Addr(st.Device), d.now(), lrp.Life)
	known, err := knownEpoch(st)
	if err != nil {
		return err
	}
	hello := lrp.DefaultHello("http", "file", "unix")
	hello.Epoch = known
	got, err := lrp.Hail(ctx, house, tx, hello)
	if err != nil || got.Epoch <= known {
		return nil //nolint:nilerr // see above
	}
	q, err := d.inquiry(st, got.Epoch)
	if err != nil {
		return err
	}
	err = lrp.Inquire(ctx, house, tx, q, func(f lrp.Finding) (error, error) { return d.take(ctx, f) })
	if errors.Is(err, lrp.ErrClaim) {
		return errors.Join(refused("the house says that there is a newer safety list than this device's, and what it shows is not one: %w. Nothing was taken. Ask the owner of the house; lares home serve reads it from its authority", err), d.keepInquiry(nil))
	}
	if err != nil {
		return d.keepInquiry(q) // it goes on with the next command
	}
	return d.keepInquiry(nil)
}

// questionLife is how long a question that was left in a folder may travel.
const questionLife = letterLife

// carryInquiry takes the answers that a folder brings to questions for the
// revocation state, and leaves the next ones. It returns the epoch that was
// learned; 0: none. A folder that brings nonsense begins the inquiry anew.
func (d *device) carryInquiry(ctx context.Context, env *Env, c *file.Client, st trem.Status) (epoch uint64, err error) {
	q, err := d.inquiry(st, 0)
	if err != nil {
		return 0, err
	}
	waits, err := d.takePieces(env, c, q)
	if f, ok := q.Found(); err == nil && ok {
		var no error
		if no, err = d.take(ctx, f); err == nil && no == nil {
			q.Learned()
			epoch = f.Epoch & (1<<40 - 1) // its number, without the signer's generation
		} else if err == nil {
			err = q.Rejected(no)
		}
	}
	if errors.Is(err, lrp.ErrClaim) {
		fmt.Fprintf(env.Stderr, "lares: the folder brought a safety list that is not one, and nothing of it was taken: %v\n", err)
		return 0, d.keepInquiry(nil)
	}
	if err != nil || waits {
		return epoch, errors.Join(err, d.keepInquiry(q))
	}
	if epoch > 0 {
		return epoch, d.keepInquiry(nil)
	}
	if err := d.keepInquiry(q); err != nil {
		return 0, err
	}
	for _, ask := range q.Together() {
		if err := d.leaveQuestion(ctx, env, c, st.Device, ask); err != nil {
			return 0, err
		}
	}
	return 0, d.save()
}

// takePieces gives an inquiry the answers that are there, in the order of the
// questions. waits says that others are still to come.
func (d *device) takePieces(env *Env, c *file.Client, q *lrp.Inquiry) (waits bool, err error) {
	for len(d.cfg.Asks) > 0 {
		f, ask, ok := question(d.cfg.Asks[0])
		if ok && f.Expires > env.Now().UnixMilli() {
			answers, there, err := c.Answers(f)
			if err != nil || !there {
				return true, err
			}
			pieces, err := lrp.GossipOf(answers)
			if err == nil {
				err = q.Answer(ask, pieces)
			}
			if errors.Is(err, lrp.ErrClaim) {
				return false, errors.Join(err, c.Done(f), d.forgetQuestions())
			}
			if err := d.keepInquiry(q); err != nil { // before the answer is removed: it may be read twice, not lost
				return true, err
			}
		}
		if ok {
			if err := c.Done(f); err != nil {
				return true, err
			}
		}
		d.cfg.Asks = d.cfg.Asks[1:]
		if err := d.save(); err != nil {
			return true, err
		}
	}
	return false, nil
}

func (d *device) forgetQuestions() error {
	d.cfg.Asks = nil
	return d.save()
}

// question reads what leaveQuestion noted.
func question(raw []byte) (f lrp.Frame, ask lrp.Gossip, ok bool) {
	f, err := lrp.Parse(raw)
	if err == nil {
		ask, err = lrp.ParseGossip(f.Body)
	}
	return f, ask, err == nil
}

// leaveQuestion leaves one question, and notes that an answer is to come.
func (d *device) leaveQuestion(ctx context.Context, env *Env, c *file.Client, self ident.Device, ask lrp.Gossip) error {
	body, err := ask.Encode()
	if err != nil {
		return err
	}
	f := lrp.NewTransaction(lrp.Addr(d.cfg.Server), lrp.Addr(self), env.Now(), questionLife).Next(lrp.TypeGossip, body)
	raw, err := f.Encode()
	if err != nil {
		return err
	}
	d.cfg.Asks = append(d.cfg.Asks, raw)
	if err := d.save(); err != nil { // before it lies there: what nobody noted, nobody would take away
		return err
	}
	return c.Leave(ctx, f)
}
