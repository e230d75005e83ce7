package adapt

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// Order asks a source for a child that leaves for another system.
type Order struct {
	Request ident.Request // of the asker: the same one has the same answer, and is debited once
	System  string        // that the child is for
	Holds   []string      // conditions that the system itself enforces
	Plays   uint64        // that go with a counted license, where the system counts; 0 = 1
}

// Source is the party that holds the license: in Lares the trusted module. It
// knows what was used of the license and what time it is, so it says what the
// child is (license.Export).
type Source interface {
	// Propose says what Release would give, or has given for this request, and
	// what is lost. It debits nothing.
	Propose(ctx context.Context, parent *license.License, o Order) (*license.Info, []string, error)
	// Release debits what goes from the parent and signs the child, in one durable
	// step: when it returns, that is gone from the source whatever becomes of the
	// child. The same request is answered with the same child and debits nothing more.
	Release(ctx context.Context, parent *license.License, o Order) (*license.License, error)
}

// Relayed is what a relay gave.
type Relayed struct {
	Child    *license.License // what the artifact states, as a license; for a live system the license itself
	Artifact Artifact
	Loss     Loss
}

// Relay exports a license (evaluator E12): the source narrows the license to
// what the system keeps and debits what is counted, and only then the artifact is
// given out. o says whose request it is and how many plays go; its System and
// Holds are set here. A refusal debits nothing, and is an ErrNotExportable, an
// UnheldError, a license.ErrNoRight or the source's own. When the source fails,
// nothing leaves; the same order again gives what was debited.
//
// A live system gets its artifact of the license itself: the module debits
// while it plays, so nothing is debited here.
func Relay(ctx context.Context, a Adapter, src Source, parent *license.License, o Order) (*Relayed, error) {
	s := a.System()
	if _, err := Exportable(parent, s.Name); err != nil {
		return nil, err
	}
	if s.Live {
		artifact, loss, err := a.Export(ctx, parent)
		if err != nil {
			return nil, err
		}
		return &Relayed{Child: parent, Artifact: artifact, Loss: loss}, nil
	}
	o.System, o.Holds = s.Name, s.Enforces
	info, names, err := src.Propose(ctx, parent, o)
	if err != nil {
		return nil, fmt.Errorf("relay to %s: %w", s.Name, err)
	}
	// What cannot be written must not cost a play: it is written before.
	trial, err := unsigned(info)
	if err != nil {
		return nil, err
	}
	if _, _, err := a.Export(ctx, trial); err != nil {
		return nil, err
	}
	child, err := src.Release(ctx, parent, o)
	if err != nil {
		return nil, fmt.Errorf("debit the license before it is relayed to %s: %w", s.Name, err)
	}
	artifact, loss, err := a.Export(ctx, child) // of the child that was debited, which a moment may tell from the trial
	if err != nil {
		return nil, err
	}
	return &Relayed{Child: child, Artifact: artifact, Loss: merge(lostBy(names), loss, parent.Units())}, nil
}

// lostBy says in words what the narrowing of a license cost.
func lostBy(names []string) Loss {
	var lost Loss
	for _, name := range names {
		words := "It ends at a fixed time there, counted from now."
		if name == "PLAY_COUNT" {
			words = "Plays are not counted there, so one play is handed over, for one sitting."
		}
		lost = append(lost, Lost{Right: name, Effect: Narrowed, Words: words})
	}
	return lost
}

// unsigned makes a license of the information for this process only: its
// signer is thrown away, so it proves nothing.
func unsigned(info *license.Info) (*license.License, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	raw, err := license.Sign(key, []byte("trial"), info)
	if err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	return license.Parse(raw)
}

// merge is the loss of a relay: of the narrowing, of what the child no longer
// has of the parent's, and of the writing.
func merge(narrowed, written Loss, parent *permission.Units) Loss {
	out := narrowed
	for p := permission.Render; p <= permission.Lend; p++ {
		if parent.Grants(p) {
			out = append(out, Lost{Right: p.String(), Effect: Dropped, Words: "What is handed to another system can only be played."})
		}
	}
	n := 0
	for range parent.EachUsage(permission.Play) {
		n++
	}
	if n > 1 {
		out = append(out, Lost{Right: "PART", Effect: Dropped, Words: "Of several ways to play, only the first one for the whole film is handed on."})
	}
	for _, l := range written {
		if !out.Has(l.Right) {
			out = append(out, l)
		}
	}
	return out
}
