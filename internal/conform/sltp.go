package conform

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/internal/wire"
)

// Labels of EAD items. Source: docs/spec/sltp.md.
const (
	eadHello   = 62224
	eadUnknown = -62999 // critical, and nobody's
)

// message1 is an SLTP frame with a message_1 for some suites.
func (s *subject) message1(suites []any) (lrp.Frame, error) {
	m, err := message1(0, suites, 8, nil)
	if err != nil {
		return lrp.Frame{}, err
	}
	return s.sltp(nil, m)
}

// sltp is a frame with a message, from who has shown an account where one is asked for.
func (s *subject) sltp(cid, message []byte) (lrp.Frame, error) {
	if s.authKey != nil && s.cfg.Account.Kind == "" {
		return lrp.Frame{}, lacking("this server asks for an account before it answers: give --account")
	}
	body, err := lrp.SLTP{CID: cid, Message: message}.Encode()
	return s.frame(lrp.TypeSLTP, body), err
}

// message1 is a fresh message_1 (RFC 9528, 5.2.1): METHOD, SUITES_I, G_X, C_I, EAD_1.
func message1(method int, suites []any, cid int, more []any) ([]byte, error) {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	ci := make([]byte, cid)
	rand.Read(ci) // never returns an error
	hello, err := wire.Marshal([]any{1, 65536, uint64(0)})
	if err != nil {
		return nil, err
	}
	var list any = suites
	if len(suites) == 1 {
		list = suites[0]
	}
	items := append([]any{method, list, key.PublicKey().Bytes()[1:33], ci, eadHello, hello}, more...)
	return sequence(items...)
}

// reply is the SLTP message that answers one, or nil where none does.
func (s *subject) reply(ctx context.Context, f lrp.Frame) ([]byte, error) {
	got, _, err := s.send(ctx, f)
	if err != nil {
		return nil, err
	}
	for _, a := range got {
		if a.Type != lrp.TypeSLTP {
			continue
		}
		m, err := lrp.ParseSLTP(a.Body)
		if err != nil {
			return nil, fmt.Errorf("expected an SLTP body, seen %d bytes: %w", len(a.Body), err)
		}
		return m.Message, nil
	}
	return nil, nil
}

// isMessage2 reports whether a message is one byte string that can be a message_2.
func isMessage2(m []byte) bool {
	var b []byte
	return wire.Unmarshal(m, &b, wire.Limit{Bytes: 1 << 16, Items: 4, Depth: 1}) == nil && len(b) > 32
}

func sltpChecks() []check {
	return []check{
		{"sltp.md EDHOC profile", "message_1 of suite 2 is answered with message_2", withFrames(), func(ctx context.Context, s *subject) error {
			f, err := s.message1([]any{2})
			if err != nil {
				return err
			}
			m, err := s.reply(ctx, f)
			if err == nil && !isMessage2(m) {
				err = fmt.Errorf("expected message_2, a byte string of more than 32 bytes, seen %x", head(m))
			}
			return err
		}},
		{"sltp.md EDHOC profile", "a suite that is not supported is error 2 with SUITES_R", withFrames(), func(ctx context.Context, s *subject) error {
			return s.wrongSuite(ctx, "suite 99", []any{99})
		}},
		{"sltp.md EDHOC profile", "a suite behind one that is supported is error 2 with SUITES_R", withFrames(), func(ctx context.Context, s *subject) error {
			return s.wrongSuite(ctx, "suites 2, 99", []any{2, 99})
		}},
		{"sltp.md EDHOC profile", "method 3 gets no message_2", withFrames(), func(ctx context.Context, s *subject) error {
			return s.noMessage2(ctx, "method 3", 3, 8, nil)
		}},
		{"sltp.md EDHOC profile", "a connection ID that has not 8 bytes gets no message_2", withFrames(), func(ctx context.Context, s *subject) error {
			return s.noMessage2(ctx, "3 bytes", 0, 3, nil)
		}},
		{"sltp.md EAD items", "a critical item that nobody knows gets no message_2", withFrames(), func(ctx context.Context, s *subject) error {
			return s.noMessage2(ctx, "item -62999", 0, 8, []any{eadUnknown, []byte{0}})
		}},
		{"sltp.md EDHOC profile", "what is no message changes nothing: the next message_1 is answered", withFrames(), checkGarbage},
	}
}

func head(m []byte) []byte { return m[:min(len(m), 24)] }

func (s *subject) wrongSuite(ctx context.Context, what string, suites []any) error {
	f, err := s.message1(suites)
	if err != nil {
		return err
	}
	m, err := s.reply(ctx, f)
	if err != nil {
		return err
	}
	if len(m) < 2 || m[0] != 2 {
		return fmt.Errorf("%s: expected error 2 with SUITES_R (RFC 9528, 6.3), seen %x", what, head(m))
	}
	var one int64
	var many []int64
	if wire.Unmarshal(m[1:], &one, wire.Limit{}) == nil {
		many = []int64{one}
	} else if err := wire.Unmarshal(m[1:], &many, wire.Limit{Bytes: 64, Items: 16, Depth: 1}); err != nil {
		return fmt.Errorf("%s: expected suites in SUITES_R, seen %x", what, head(m))
	}
	if slices.Contains(many, 2) {
		return nil
	}
	return fmt.Errorf("%s: expected suite 2, which is mandatory, in SUITES_R, seen %v", what, many)
}

func (s *subject) noMessage2(ctx context.Context, what string, method, cid int, more []any) error {
	m, err := message1(method, []any{2}, cid, more)
	if err != nil {
		return err
	}
	f, err := s.sltp(nil, m)
	if err != nil {
		return err
	}
	answer, err := s.reply(ctx, f)
	if err == nil && isMessage2(answer) {
		err = fmt.Errorf("%s: expected an error or no answer, seen a message_2", what)
	}
	return err
}

func checkGarbage(ctx context.Context, s *subject) error {
	good, err := message1(0, []any{2}, 8, nil)
	if err != nil {
		return err
	}
	var errs []error
	for what, m := range map[string][]byte{"one byte": {0}, "cut": good[:len(good)-3], "no key share": {0, 2, 0x40, 0x48, 1, 2, 3, 4, 5, 6, 7, 8}} {
		f, err := s.sltp(nil, m)
		if err != nil {
			return err
		}
		if got, err := s.reply(ctx, f); err != nil || isMessage2(got) {
			errs = append(errs, fmt.Errorf("%s: expected an error or no answer, seen %x, %w", what, head(got), err))
		}
	}
	stray, err := s.sltp([]byte("01234567"), []byte{0x58, 0x20, 1, 2, 3})
	if err == nil {
		_, _, err = s.send(ctx, stray)
	}
	errs = append(errs, err)
	f, err := s.sltp(nil, good)
	if err != nil {
		return err
	}
	m, err := s.reply(ctx, f)
	if err == nil && !isMessage2(m) {
		err = fmt.Errorf("afterwards: expected message_2, seen %x", head(m))
	}
	return errors.Join(append(errs, err)...)
}
