package operator

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// ProposalLife is how long a proposal waits for a second operator. Source:
// local, docs/spec/operators.md.
const ProposalLife = 24 * time.Hour

// maxReason is how long a reason may be, in bytes.
const maxReason = 200

// ProposalID names a proposal.
type ProposalID [16]byte

func (id ProposalID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText prints the ID for JSON.
func (id ProposalID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText prints.
func (id *ProposalID) UnmarshalText(s []byte) error {
	b, err := hex.DecodeString(string(s))
	if err != nil || len(b) != len(id) || hex.EncodeToString(b) != string(s) {
		return fmt.Errorf("%w: a proposal's ID is 32 hexadecimal digits", ErrInvalid)
	}
	*id = ProposalID(b)
	return nil
}

// ProposalState says what became of a proposal.
type ProposalState string

// The states of a proposal.
const (
	Open      ProposalState = "open"
	Approved  ProposalState = "approved" // decided; it is being done
	Done      ProposalState = "done"
	Withdrawn ProposalState = "withdrawn"
	Lapsed    ProposalState = "lapsed" // nobody approved it in time; never stored
)

// Proposal is a revocation that waits for a second operator.
type Proposal struct {
	ID      ProposalID    `json:"id"`
	Action  string        `json:"action"`  // such as grant.revoke
	Subject string        `json:"subject"` // IDs
	Reason  string        `json:"reason,omitempty"`
	By      string        `json:"by"` // actor
	At      int64         `json:"at"` // Unix ms
	Expires int64         `json:"expires_at"`
	State   ProposalState `json:"state"`
	Decider string        `json:"decided_by,omitempty"`
	Decided int64         `json:"decided_at,omitempty"`
}

// Alone reports whether the operator may revoke without a second one.
func (d *Desk) Alone(o *Operator) bool { return o.Owner() && !d.cfg.TwoPersons }

// Propose records what a second operator has to approve. The same key of a
// caller gives the same proposal again.
func (d *Desk) Propose(ctx context.Context, by *Operator, action, subject, reason, key string) (Proposal, error) {
	if !by.May(Revoke) {
		return Proposal{}, ErrForbidden
	}
	if reason != "" && !line(reason, maxReason) {
		return Proposal{}, fmt.Errorf("%w: a reason is one line of at most %d bytes", ErrInvalid, maxReason)
	}
	now := d.cfg.Now()
	p := Proposal{
		Action: action, Subject: subject, Reason: reason, By: by.actor, At: now.UnixMilli(), Expires: now.Add(ProposalLife).UnixMilli(), State: Open,
	}
	if key == "" {
		rand.Read(p.ID[:]) // never returns an error
	} else {
		sum := sha256.Sum256([]byte("lares/1/proposal " + by.actor + " " + key))
		p.ID = ProposalID(sum[:16])
	}
	asked := p
	err := d.cfg.Store.Update(ctx, func(ctx context.Context, tx Tx) error {
		p = asked
		fresh, err := tx.PutProposal(ctx, p)
		if err != nil {
			return err
		}
		if fresh {
			_, err = tx.AppendAudit(ctx, d.entry(by, "proposal.new", p.ID.String()+" "+action+" "+subject))
			return err
		}
		have, err := tx.Proposal(ctx, p.ID)
		if err == nil && (have.Action != action || have.Subject != subject) {
			err = fmt.Errorf("%w: the key was used for another proposal", ErrInvalid)
		}
		p = have
		return err
	})
	return d.asOf(p), err
}

// asOf shows a proposal that nobody approved in time as what it is.
func (d *Desk) asOf(p Proposal) Proposal {
	if p.State == Open && p.Expires <= d.cfg.Now().UnixMilli() {
		p.State = Lapsed
	}
	return p
}

// Approve decides an open proposal of another operator, does it, and notes that
// it is done. A process that dies in between leaves it approved: whoever
// approved it does so again, and doing it twice changes nothing.
func (d *Desk) Approve(ctx context.Context, by *Operator, id ProposalID, do func(context.Context, Proposal) error) (p Proposal, err error) {
	if !by.May(Revoke) {
		return p, ErrForbidden
	}
	now := d.cfg.Now().UnixMilli()
	err = d.cfg.Store.Update(ctx, func(ctx context.Context, tx Tx) error {
		if p, err = tx.Proposal(ctx, id); err != nil {
			return err
		}
		switch {
		case p.State == Approved && p.Decider == by.actor:
			return nil
		case p.State != Open || p.Expires <= now:
			return ErrOver
		case p.By == by.actor:
			return ErrSecond
		}
		p.State, p.Decider, p.Decided = Approved, by.actor, now
		return d.decide(ctx, tx, by, p, Open, "proposal.approve")
	})
	if err != nil {
		return p, err
	}
	if err := do(ctx, p); err != nil {
		return p, err
	}
	p.State = Done
	err = d.cfg.Store.Update(ctx, func(ctx context.Context, tx Tx) error {
		_, err := tx.SetProposal(ctx, p, Approved)
		return err
	})
	return p, err
}

func (d *Desk) decide(ctx context.Context, tx Tx, by *Operator, p Proposal, from ProposalState, action string) error {
	ok, err := tx.SetProposal(ctx, p, from)
	if err != nil {
		return err
	}
	if !ok {
		return ErrOver
	}
	_, err = tx.AppendAudit(ctx, d.entry(by, action, p.ID.String()))
	return err
}

// Withdraw ends an open proposal: who made it, or anybody who could approve it.
func (d *Desk) Withdraw(ctx context.Context, by *Operator, id ProposalID) (p Proposal, err error) {
	if !by.May(Revoke) {
		return p, ErrForbidden
	}
	err = d.cfg.Store.Update(ctx, func(ctx context.Context, tx Tx) error {
		if p, err = tx.Proposal(ctx, id); err != nil {
			return err
		}
		if p.State != Open {
			return ErrOver
		}
		p.State, p.Decider, p.Decided = Withdrawn, by.actor, d.cfg.Now().UnixMilli()
		return d.decide(ctx, tx, by, p, Open, "proposal.withdraw")
	})
	return p, err
}

// ProposalPlace is a proposal's place in their order; zero: before the newest.
type ProposalPlace struct {
	At int64 // Unix ms
	ID ProposalID
}

// Proposals is a page of proposals behind a place, newest first.
func (d *Desk) Proposals(ctx context.Context, after ProposalPlace, limit int) (all []Proposal, err error) {
	err = d.cfg.Store.View(ctx, func(ctx context.Context, r Reader) error {
		all, err = r.Proposals(ctx, after, limit)
		return err
	})
	for i := range all {
		all[i] = d.asOf(all[i])
	}
	return all, err
}
