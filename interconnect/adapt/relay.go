package adapt

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"slices"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
)

// Source is the party that holds the license: in Lares the trusted module.
type Source interface {
	// Release debits the share from the parent and signs the child, in one
	// durable step: when it returns, the share is gone from the source whatever
	// becomes of the child. A share of zeros debits nothing.
	Release(ctx context.Context, parent *license.License, child *license.Info, share license.Share) (*license.License, error)
}

// Relayed is what a relay gave.
type Relayed struct {
	Child    *license.License // what the artifact states, as a license; for a live system the license itself
	Artifact Artifact
	Loss     Loss
}

// Relay exports a license (evaluator E12): it narrows the license to what the
// system keeps, has the source debit what is counted, and only then gives the
// artifact out. d says what of the license goes and when; its Kind is set here.
// A refusal debits nothing, and is an ErrNotExportable, an UnheldError or a
// license.ErrNoRight. When the source fails, nothing leaves.
//
// A live system gets its artifact of the license itself: the module debits
// while it plays, so nothing is debited here.
func Relay(ctx context.Context, a Adapter, src Source, parent *license.License, d license.Derivation) (*Relayed, error) {
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
	info, lost, err := narrow(parent, d, &s)
	if err != nil {
		return nil, err
	}
	// What cannot be written must not cost a play: it is written before.
	trial, err := unsigned(info)
	if err != nil {
		return nil, err
	}
	artifact, loss, err := a.Export(ctx, trial)
	if err != nil {
		return nil, err
	}
	child, err := src.Release(ctx, parent, info, debit(trial.Units()))
	if err != nil {
		return nil, fmt.Errorf("debit the license before it is relayed to %s: %w", s.Name, err)
	}
	return &Relayed{Child: child, Artifact: artifact, Loss: merge(lost, loss, parent.Units())}, nil
}

// narrow makes the child that the system gets: what license.Relay gives, for
// this system and no other.
func narrow(parent *license.License, d license.Derivation, s *System) (*license.Info, Loss, error) {
	// A total that is used elsewhere is not divided by license.Relay, so no
	// artifact takes a part of it along.
	holds := slices.DeleteFunc(slices.Clone(s.Enforces), func(c string) bool { return c == "ACCUMULATED" })
	info, names, err := license.Relay(parent, d, license.Target{System: s.Name, Holds: holds})
	if err != nil {
		return nil, nil, fmt.Errorf("relay to %s: %w", s.Name, err)
	}
	units, err := info.Units()
	if err != nil {
		return nil, nil, fmt.Errorf("relay to %s: %w", s.Name, err)
	}
	if slices.Contains(names, "PLAY_COUNT") {
		x := &units.Usage[0]
		x.EndTime = min(x.EndTime, d.Now+sitting(info))
	}
	units.Export = &permission.ExportUnit{Systems: []string{s.Name}, Extra: parent.Units().Export.Extra}
	if info.Code, err = units.Encode(); err != nil {
		return nil, nil, fmt.Errorf("relay to %s: %w", s.Name, err)
	}
	if err := license.Narrower(info, parent.Info()); err != nil {
		return nil, nil, fmt.Errorf("relay to %s: %w", s.Name, err)
	}
	var lost Loss
	for _, name := range names {
		words := "It ends at a fixed time there, counted from now."
		if name == "PLAY_COUNT" {
			words = "Plays are not counted there, so one play is handed over, for one sitting."
		}
		lost = append(lost, Lost{Right: name, Effect: Narrowed, Words: words})
	}
	return info, lost, nil
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

// debit is what a child takes along.
func debit(u *permission.Units) license.Share {
	var share license.Share
	for x := range u.EachUsage(permission.Play) {
		share.Plays += x.PlayCount
	}
	return share
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
