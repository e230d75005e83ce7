package license

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/pki"
)

// OwnPrefix begins the content ID of a household's own film. A house issues licenses
// for nothing else, so that none of them takes the name of a bought title. Source:
// local, docs/spec/library.md section 2.
const OwnPrefix = "urn:lares:own:"

// longestOwnLoan is the longest loan of an own film, in ms. Source: local,
// docs/spec/license.md, A house's own films.
const longestOwnLoan = 60 * 86_400_000

// Own is what a house's license says of one own film; all the rest is the same for
// every one of them.
type Own struct {
	ID         ident.License
	Domain     ident.Domain // the house's own ID, no pairwise one
	Generation uint64       // of the domain
	Content    ident.Content
	Duration   int64 // ms; 0 = unknown
	Keys       []KeyRef
	Now        int64  // Unix ms
	Version    uint64 // from 1
}

// NewOwn is the root license of an own film. The house plays and renders it, in one
// session at a time, and lends it to anybody, once at a time, and does not play it
// meanwhile. Browsers of the house show it, and those of a borrower. It is not copied,
// moved, given away or exported to a system that keeps it: a device of the house has it by
// an allowance, which goes back before the film is lent. Source: local,
// docs/spec/license.md, A house's own films.
func NewOwn(o Own) (*Info, error) {
	u := permission.Units{
		Classification: &permission.ClassificationUnit{Charge: permission.ChargeFree},
		Usage:          []permission.UsageUnit{{Kind: permission.Playback}, {Kind: permission.Print}},
		Extended:       []permission.ExtendedUnit{{Kind: permission.TagLend, MaxDuration: longestOwnLoan, MaxLoans: 1}},
		Export:         &permission.ExportUnit{Systems: []string{permission.SystemClearKey}},
	}
	code, err := u.Encode()
	if err != nil {
		return nil, fmt.Errorf("license of an own film: %w", err)
	}
	noAnchor := uint64(0)
	return &Info{
		Format: Format, ID: o.ID, Issuer: ident.Issuer(o.Domain[:]), IssuedAt: o.Now, Content: o.Content,
		Subject: DomainSubject(o.Domain, o.Generation), Code: code, Keys: o.Keys, Version: o.Version,
		Policy: Policy{Duration: o.Duration, MinAnchor: &noAnchor, Concurrency: &ConcurrencyRule{Max: 1}, Backup: BackupHousehold},
	}, nil
}

// isOwn reports whether a content ID is that of some household's own film.
func isOwn(id ident.Content) bool { return strings.HasPrefix(string(id), OwnPrefix) }

// inBrowsersOnly reports whether an export condition names no system that keeps what it
// gets. It is what a loan of an own film may have: the borrower is another house's server,
// which shows it in its browsers or nowhere.
func inBrowsersOnly(x *permission.ExportUnit) bool {
	return x == nil || !slices.ContainsFunc(x.Systems, func(s string) bool { return s != permission.SystemClearKey })
}

// House is the domain of a root license that is in the name of the house that it is for:
// field 3 is the subject's domain ID, and no issuer's.
func (l *License) House() (ident.Domain, bool) {
	domain := l.info.Subject.Domain()
	return domain, domain != (ident.Domain{}) && ident.Issuer(domain[:]) == l.info.Issuer
}

// Houses is what a module judges the licenses of houses by. The zero value takes none.
type Houses struct {
	Domain  ident.Domain // of the house that the module manages or belongs to; zero: of none
	Manager ident.Device // who manages that house now
	Lent    bool         // the chain comes by LEND
}

// ownForm checks what a home server may say in a root license: it is for its own
// domain, about an own film, and grants nothing by which it would leave the house.
func (l *License) ownForm() error {
	if _, house := l.House(); !house {
		return fmt.Errorf("%w: a home server issues for its own domain only", ErrSigner)
	}
	if !isOwn(l.info.Content) {
		return fmt.Errorf("%w: a home server issues for own films only, and %v is none", ErrSigner, l.info.Content)
	}
	for _, q := range []permission.Permission{permission.Copy, permission.Move, permission.Transfer} {
		if l.units.Grants(q) {
			return fmt.Errorf("%w: a home server does not grant %v", ErrSigner, q)
		}
	}
	if !inBrowsersOnly(l.units.Export) {
		return fmt.Errorf("%w: a home server exports to browsers only", ErrSigner)
	}
	return nil
}

// judge says whether a chain whose root license a home server has signed is one that
// this module takes: its own house's of who manages that now, another house's as a loan
// by the very server that has signed the root license.
func (h Houses) judge(chain []*License, signers []*pki.Peer) error {
	root, by := chain[len(chain)-1], signers[len(signers)-1]
	if domain, _ := root.House(); domain == h.Domain {
		if by.ID() != h.Manager {
			return fmt.Errorf("%w: a license of this house is by another than its home server", ErrSigner)
		}
		return nil
	}
	loan := len(chain) == 2 && chain[0].info.Parent.Kind == KindLoan
	if !h.Lent || !loan || signers[0].ID() != by.ID() {
		return fmt.Errorf("%w: an own film of another house comes as a loan of that house's server only", ErrSigner)
	}
	return nil
}
