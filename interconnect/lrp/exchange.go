package lrp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Exchanger carries a frame to a neighbor and what it answers back; every binding
// has one. An error that is ErrLost may be tried again with the same frame.
type Exchanger interface {
	Exchange(ctx context.Context, f Frame) ([]Frame, error)
}

// Arrival is by what a frame came.
type Arrival struct {
	Link   LinkID // zero: by none
	Signed Addr   // who has signed for the very bytes that came, as in a file; zero: nobody

	From netip.Addr // the network address that it came from; zero: the binding knows none
}

// Handler is the accepting side of a binding: it gets each frame and returns the
// frames to send back, at most MaxFrames.
type Handler func(ctx context.Context, by Arrival, f Frame) []Frame

// Introduction is what a module shows of itself on a new link.
type Introduction struct {
	Self, Relay Addr // the module, and whose link it is
	Hello       Hello
	// Sign is the module's: see Hello.Sign.
	Sign func(ctx context.Context, link LinkID, relay Addr, hello [32]byte) (Proof, error)
}

// Unproven reports whether the answer to f is that its source has to prove itself.
func Unproven(f Frame, answers []Frame) bool {
	for _, a := range answers {
		if e, err := ParseError(a.Body); a.Type == TypeError && err == nil && e.Code == CodeUnproven && a.Tx == f.Tx {
			return true
		}
	}
	return false
}

// ErrStrange is returned when the neighbor does not do as this protocol says.
var ErrStrange = errors.New("lrp: the neighbor's answer does not fit")

// Introduce proves a module on a new link: it says HELLO, is told the link's name,
// and says HELLO again with a proof. carry takes a frame there on a link, the zero
// one at first. now is by the host's clock.
func Introduce(ctx context.Context, who Introduction, now time.Time, carry func(context.Context, LinkID, Frame) ([]Frame, error)) (LinkID, Agreement, error) {
	offer, err := who.Hello.Encode()
	if err != nil {
		return LinkID{}, Agreement{}, err
	}
	tx := NewTransaction(who.Relay, who.Self, now, Life)
	answer, err := greeted(ctx, tx, LinkID{}, offer, carry)
	if err != nil {
		return LinkID{}, Agreement{}, err
	}
	agreed, err := who.Hello.Accept(offer, answer)
	if err != nil {
		return LinkID{}, Agreement{}, err
	}
	h, err := ParseHello(answer)
	if err != nil || h.Link == nil {
		return LinkID{}, agreed, errors.Join(fmt.Errorf("%w: it names no link", ErrStrange), err)
	}
	link := LinkID(h.Link)
	signed, err := who.Hello.Sign(link, who.Relay, func(l LinkID, relay Addr, hello [32]byte) (Proof, error) {
		return who.Sign(ctx, l, relay, hello)
	})
	if err != nil {
		return LinkID{}, agreed, err
	}
	_, err = greeted(ctx, tx, link, signed, carry)
	return link, agreed, err
}

// Recognize says HELLO to a module and returns what that answers, if the module
// itself has signed it: what couriers on the way say of it counts for nothing.
func Recognize(ctx context.Context, self, relay Addr, hello Hello, now time.Time, carry func(context.Context, LinkID, Frame) ([]Frame, error)) (Hello, error) {
	var name LinkID
	rand.Read(name[:]) // never returns an error
	hello.Link = name[:]
	offer, err := hello.Encode()
	if err != nil {
		return Hello{}, err
	}
	body, err := greeted(ctx, NewTransaction(relay, self, now, Life), LinkID{}, offer, carry)
	if err != nil {
		return Hello{}, err
	}
	if _, err := hello.Accept(offer, body); err != nil {
		return Hello{}, err
	}
	if by, err := SignedBy(body, name, relay); err != nil || by != relay {
		return Hello{}, errors.Join(fmt.Errorf("%w: it is not signed by the module that was asked", ErrProof), err)
	}
	return ParseHello(body)
}

// greeted says one HELLO and returns the body of the answer.
func greeted(ctx context.Context, tx *Transaction, link LinkID, body []byte, carry func(context.Context, LinkID, Frame) ([]Frame, error)) ([]byte, error) {
	answers, err := carry(ctx, link, tx.Next(TypeHello, body))
	if err != nil {
		return nil, err
	}
	for _, a := range answers {
		if err := tx.Check(a); err != nil {
			return nil, err
		}
		if a.Type == TypeHello {
			return a.Body, nil
		}
	}
	return nil, fmt.Errorf("%w: no HELLO", ErrStrange)
}

// Hail says HELLO to a neighbor, without a proof, and returns what both can do and
// the epoch that it claims.
func Hail(ctx context.Context, to Exchanger, tx *Transaction, hello Hello) (Agreement, error) {
	offer, err := hello.Encode()
	if err != nil {
		return Agreement{}, err
	}
	answer, err := greeted(ctx, tx, LinkID{}, offer, func(ctx context.Context, _ LinkID, f Frame) ([]Frame, error) { return to.Exchange(ctx, f) })
	if err != nil {
		return Agreement{}, err
	}
	return hello.Accept(offer, answer)
}

// Inquire asks a neighbor the questions of an inquiry until it is over. learn has
// the module judge what was found: refused is why it does not take it, err why it
// could not judge. What ends with another error than ErrClaim can go on later.
func Inquire(ctx context.Context, to Exchanger, tx *Transaction, q *Inquiry, learn func(Finding) (refused, err error)) error {
	for {
		if found, ok := q.Found(); ok {
			refused, err := learn(found)
			if err != nil {
				return err
			}
			if refused == nil {
				q.Learned()
				return nil
			}
			if err := q.Rejected(refused); err != nil {
				return err
			}
		}
		ask, ok := q.Ask()
		if !ok {
			return nil
		}
		pieces, err := inquire(ctx, to, tx, ask)
		if err != nil {
			return err
		}
		if err := q.Answer(ask, pieces); err != nil {
			return err
		}
	}
}

func inquire(ctx context.Context, to Exchanger, tx *Transaction, ask Gossip) ([]Gossip, error) {
	body, err := ask.Encode()
	if err != nil {
		return nil, err
	}
	answers, err := to.Exchange(ctx, tx.Next(TypeGossip, body))
	if err != nil {
		return nil, err
	}
	for _, a := range answers {
		err := tx.Check(a)
		if _, said := errors.AsType[*Error](err); err != nil && !said {
			return nil, err
		}
	}
	return GossipOf(answers)
}

// GossipOf are the pieces in the answer to a question. A neighbor that does not
// pass a state on, or answers something else, has none; one that cannot now is an
// *Error.
func GossipOf(answers []Frame) (out []Gossip, err error) {
	for _, a := range answers {
		if a.Type == TypeError {
			e, err := ParseError(a.Body)
			if err != nil || !e.Code.Retry() {
				return nil, nil //nolint:nilerr // it says something else
			}
			return nil, e
		}
		g, err := ParseGossip(a.Body)
		if a.Type != TypeGossip || err != nil || g.Kind == GossipAsk {
			return out, nil //nolint:nilerr // as far as it came
		}
		out = append(out, g)
	}
	return out, nil
}
