package operator

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lares-drm/lares/internal/audit"
)

// SessionLife is how long somebody who signed in stays so. Source: local,
// docs/spec/operators.md.
const SessionLife = 8 * time.Hour

// Config is what a desk is made of.
type Config struct {
	Store Store            // required
	Now   func() time.Time // required
	// OwnerHash is SHA-256 of the owner's token.
	OwnerHash Hash
	// Key signs the heads of the log; nil: heads are not signed.
	Key crypto.Signer
	// Issuer is whose log it is.
	Issuer string
	// TwoPersons holds the owner to the rule of two as well.
	TwoPersons bool
}

// Desk knows operators. It is safe for concurrent use.
type Desk struct{ cfg Config }

// NewDesk checks its parts. It starts nothing.
func NewDesk(cfg Config) (*Desk, error) {
	if cfg.Store == nil || cfg.Now == nil {
		return nil, errors.New("operator: Store and Now are required")
	}
	return &Desk{cfg}, nil
}

// act does something and writes it into the log, both or neither.
func (d *Desk) act(ctx context.Context, by *Operator, action, subject string, fn func(context.Context, Tx) error) error {
	return d.cfg.Store.Update(ctx, func(ctx context.Context, tx Tx) error {
		if err := fn(ctx, tx); err != nil {
			return err
		}
		_, err := tx.AppendAudit(ctx, d.entry(by, action, subject))
		return err
	})
}

// Session is somebody who signed in. The token is not kept.
type Session struct {
	Hash    Hash // of the token
	Actor   string
	Name    string
	Role    Role // empty: the owner
	Scopes  []Scope
	Key     KeyID // of the API key that was used to sign in; zero: none
	Created int64 // Unix ms
	Expires int64 // Unix ms
}

// SignIn begins a session of an operator and returns its token, for a cookie.
func (d *Desk) SignIn(ctx context.Context, o *Operator) (token string, err error) {
	if o == nil || o.actor == "" {
		return "", ErrUnknown
	}
	var b [32]byte
	rand.Read(b[:]) // never returns an error
	token = base64.RawURLEncoding.EncodeToString(b[:])
	now := d.cfg.Now()
	s := Session{
		Hash: sha256.Sum256([]byte(token)), Actor: o.actor, Name: o.name, Role: o.role, Scopes: o.scopes,
		Created: now.UnixMilli(), Expires: now.Add(SessionLife).UnixMilli(),
	}
	if id, ok := strings.CutPrefix(o.actor, "key:"); ok {
		if err := s.Key.UnmarshalText([]byte(id)); err != nil {
			return "", err
		}
	}
	err = d.act(ctx, o, "session.new", string(o.role), func(ctx context.Context, tx Tx) error { return tx.PutSession(ctx, s) })
	return token, err
}

// Session finds out who has a session's token. A session ends with the API key
// that it began with.
func (d *Desk) Session(ctx context.Context, token string) (*Operator, error) {
	if token == "" || len(token) > maxToken {
		return nil, ErrUnknown
	}
	now := d.cfg.Now().UnixMilli()
	var s Session
	err := d.cfg.Store.View(ctx, func(ctx context.Context, r Reader) (err error) {
		if s, err = r.Session(ctx, sha256.Sum256([]byte(token))); err != nil || s.Key == (KeyID{}) {
			return err
		}
		k, err := r.Key(ctx, s.Key)
		if err == nil && (k.Revoked != 0 || k.Expires <= now) {
			err = ErrNotFound
		}
		return err
	})
	if errors.Is(err, ErrNotFound) || err == nil && s.Expires <= now {
		return nil, ErrUnknown
	}
	if err != nil {
		return nil, err
	}
	return &Operator{actor: s.Actor, name: s.Name, role: s.Role, scopes: s.Scopes}, nil
}

// SignOut ends a session.
func (d *Desk) SignOut(ctx context.Context, token string) error {
	err := d.cfg.Store.Update(ctx, func(ctx context.Context, tx Tx) error { return tx.DropSession(ctx, sha256.Sum256([]byte(token))) })
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// Entries is a page of the log, newest first: what is before a number, 0 = the newest.
func (d *Desk) Entries(ctx context.Context, before uint64, limit int) (all []audit.Entry, err error) {
	err = d.cfg.Store.View(ctx, func(ctx context.Context, r Reader) error {
		all, err = r.Latest(ctx, before, limit)
		return err
	})
	return all, err
}

// SealDays signs the head of each day that is over and has none.
func (d *Desk) SealDays(ctx context.Context) error {
	if d.cfg.Key == nil {
		return nil
	}
	for midnight := d.cfg.Now().UTC().Truncate(24 * time.Hour); ; {
		var e audit.Entry
		var heads []DayHead
		err := d.cfg.Store.View(ctx, func(ctx context.Context, r Reader) (err error) {
			if heads, err = r.Heads(ctx); err != nil {
				return err
			}
			e, err = r.LastBefore(ctx, midnight.UnixMilli())
			return err
		})
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		day := audit.Day(e.At)
		if slices.ContainsFunc(heads, func(h DayHead) bool { return h.Day == day }) {
			return nil // days are signed in their order, so older ones have theirs
		}
		signed, err := audit.Head{Day: day, Seq: e.Seq, Hash: e.Hash(), At: d.cfg.Now().UnixMilli()}.Sign(d.cfg.Key)
		if err != nil {
			return err
		}
		err = d.cfg.Store.Update(ctx, func(ctx context.Context, tx Tx) error { return tx.PutHead(ctx, DayHead{day, e.Seq, signed}) })
		if err != nil {
			return err
		}
		midnight = time.UnixMilli(e.At).UTC().Truncate(24 * time.Hour)
	}
}

// exportPage is how many entries are read at a time.
const exportPage = 500

// Export writes the whole log, with its heads and a closing one, line by line.
func (d *Desk) Export(ctx context.Context, put func(audit.Line) error) error {
	if d.cfg.Key == nil {
		return fmt.Errorf("%w: this issuer has no audit key", ErrInvalid)
	}
	if err := d.SealDays(ctx); err != nil {
		return err
	}
	first, err := audit.First(d.cfg.Issuer, d.cfg.Key.Public())
	if err != nil {
		return err
	}
	if err := put(first); err != nil {
		return err
	}
	var last audit.Entry
	err = d.cfg.Store.View(ctx, func(ctx context.Context, r Reader) error {
		heads, err := r.Heads(ctx)
		if err != nil {
			return err
		}
		last, err = exportEntries(ctx, r, heads, put)
		return err
	})
	if err != nil {
		return err
	}
	end := audit.Head{Seq: last.Seq, At: d.cfg.Now().UnixMilli()}
	if last.Seq != 0 {
		end.Hash = last.Hash()
	}
	signed, err := end.Sign(d.cfg.Key)
	if err != nil {
		return err
	}
	return put(audit.Line{Head: signed})
}

// exportEntries writes entries, each head behind the entry that it names, and
// heads that name an entry which is not there at the end.
func exportEntries(ctx context.Context, r Reader, heads []DayHead, put func(audit.Line) error) (last audit.Entry, err error) {
	slices.SortFunc(heads, func(a, b DayHead) int { return strings.Compare(a.Day, b.Day) })
	for {
		page, err := r.Entries(ctx, last.Seq, exportPage)
		if err != nil {
			return last, err
		}
		for _, e := range page {
			if err := put(audit.Line{Entry: &e}); err != nil {
				return last, err
			}
			for len(heads) > 0 && heads[0].Seq <= e.Seq {
				if err := put(audit.Line{Head: heads[0].Signed}); err != nil {
					return last, err
				}
				heads = heads[1:]
			}
			last = e
		}
		if len(page) < exportPage {
			break
		}
	}
	for _, h := range heads {
		if err := put(audit.Line{Head: h.Signed}); err != nil {
			return last, err
		}
	}
	return last, nil
}

// Verify follows the log as it is kept, with the heads that were signed and the
// length that the store remembers.
func (d *Desk) Verify(ctx context.Context) (audit.Report, error) {
	if d.cfg.Key == nil {
		return audit.Report{}, fmt.Errorf("%w: this issuer has no audit key", ErrInvalid)
	}
	v := audit.NewVerifier(d.cfg.Key.Public())
	err := d.Export(ctx, func(l audit.Line) error {
		switch {
		case l.Entry != nil:
			v.Entry(*l.Entry)
		case l.Head != nil:
			v.Head(l.Head)
		}
		return nil
	})
	if err != nil {
		return audit.Report{}, err
	}
	out := v.Report()
	err = d.cfg.Store.View(ctx, func(ctx context.Context, r Reader) error {
		seq, _, err := r.LastEntry(ctx)
		if err == nil && seq > out.Entries {
			out.Faults = append(out.Faults, audit.Fault{Seq: seq, What: fmt.Sprintf("the store remembers %d entries: the end was cut off", seq)})
		}
		return err
	})
	return out, err
}
