package conform

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
)

func accountChecks() []check {
	return []check{
		{"lrp.md 10", "who has shown no account is ERROR UNPROVEN", withFrames(), func(ctx context.Context, s *subject) error {
			if _, err := s.asks(); err != nil {
				return err
			}
			m, err := message1(0, []any{2}, 8, nil)
			if err != nil {
				return err
			}
			body, err := lrp.SLTP{Message: m}.Encode()
			if err != nil {
				return err
			}
			got, _, err := s.send(ctx, lrp.NewTransaction(s.addr, me(), s.cfg.Now(), time.Minute).Next(lrp.TypeSLTP, body))
			return wantError("message_1 of a stranger", got, err, lrp.CodeUnproven)
		}},
		{"lrp.md 10", "an account that nobody knows, or that does not open, is ERROR UNPROVEN", withFrames(), func(ctx context.Context, s *subject) error {
			key, err := s.asks()
			if err != nil {
				return err
			}
			secret := make([]byte, 16)
			rand.Read(secret) // never returns an error
			for what, broken := range map[string]bool{"an unknown account": false, "one that is altered on the way": true} {
				f := lrp.NewTransaction(s.addr, me(), s.cfg.Now(), time.Minute).Next(lrp.TypeAuth, nil)
				if f.Body, err = lrp.SealAccount(key, f, lrp.Account{Kind: "x-conform", Credential: secret}); err != nil {
					return err
				}
				if broken {
					f.Body[len(f.Body)-1] ^= 1
				}
				got, _, err := s.send(ctx, f)
				if err := wantError(what, got, err, lrp.CodeUnproven); err != nil {
					return err
				}
			}
			return nil
		}},
		{"lrp.md 10", "an AUTH body of another layout is ERROR MALFORMED", withFrames(), func(ctx context.Context, s *subject) error {
			if _, err := s.asks(); err != nil {
				return err
			}
			got, _, err := s.send(ctx, s.frame(lrp.TypeAuth, []byte{0x81, 0xf6}))
			return wantError("an array of one", got, err, lrp.CodeMalformed)
		}},
		{"lrp.md 10", "an account that is known is ACK", withFrames(), func(ctx context.Context, s *subject) error {
			key, err := s.asks()
			if err != nil {
				return err
			}
			if s.cfg.Account.Kind == "" {
				return lacking("the judge has no account here: give --account")
			}
			return s.show(ctx, key)
		}},
	}
}

// asks is the key that accounts are sealed to, of a server that asks for one.
func (s *subject) asks() ([]byte, error) {
	if s.authKey == nil {
		return nil, without("this server asks nobody for an account: its HELLO names no key")
	}
	return s.authKey, nil
}

// show shows the judge's account, as who its SLTP frames are from.
func (s *subject) show(ctx context.Context, key []byte) error {
	f := lrp.NewTransaction(s.addr, s.self, s.cfg.Now(), time.Minute).Next(lrp.TypeAuth, nil)
	var err error
	if f.Body, err = lrp.SealAccount(key, f, s.cfg.Account); err != nil {
		return err
	}
	got, _, err := s.send(ctx, f)
	if err == nil && (len(got) != 1 || got[0].Type != lrp.TypeAck) {
		err = fmt.Errorf("the judge's account: expected ACK, seen %s", frames(got))
	}
	return err
}

// greet finds out whether the server asks for an account. The judge's is shown to a
// key that the server's module has signed for, and to no other.
func (s *subject) greet(ctx context.Context) error {
	h, err := s.agree(ctx, offer())
	if err != nil || len(h.Seal) == 0 {
		return nil //nolint:nilerr // HELLO has clauses of its own
	}
	s.authKey = h.Seal
	if s.cfg.Account.Kind == "" {
		return nil
	}
	for try := 0; ; try++ {
		h, err := lrp.Recognize(ctx, s.self, s.addr, offer(), s.cfg.Now(), s.sendOn)
		if err == nil {
			return s.show(ctx, h.Seal)
		}
		if try == 3 || ctx.Err() != nil {
			return fmt.Errorf("conform: the key for accounts is not signed by the module of %s, so none is shown: %w", s.base, err)
		}
		select { // a module signs so many in a second
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}
