package authority

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	ca "github.com/lares-drm/lares/security/pki/authority"
	"github.com/lares-drm/lares/security/trem"
)

// addressOf is an authority's place in the relay: that of its root's key.
func addressOf(root []byte) (lrp.Addr, error) {
	c, err := x509.ParseCertificate(root)
	if err != nil {
		return lrp.Addr{}, fmt.Errorf("authority: root: %w", err)
	}
	return lrp.Addr(ident.DeviceOf(c.RawSubjectPublicKeyInfo)), nil
}

// Frame serves one frame of the license relay: RENEW, with which a party that
// has certificates gets new ones (docs/spec/authority-api.md). What the caller
// binds it to, and which relays it crosses, is not its business.
func (s *Server) Frame(ctx context.Context, f lrp.Frame) []lrp.Frame {
	e, err := s.endpoint()
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "no address for a frame", slog.Any("error", err))
		return []lrp.Frame{lrp.ErrorFrame(f, lrp.CodeInternal, 0)}
	}
	return e.Handle(f, s.cfg.Now(), func(lrp.Addr, lrp.SLTP) ([]lrp.SLTP, error) { return nil, errNoModule })
}

var errNoModule = errors.New("authority: no module is behind this address")

// endpoint is made anew when the root has changed, and with it the address.
func (s *Server) endpoint() (*lrp.Endpoint, error) {
	auth, err := s.current()
	if err != nil {
		return nil, err
	}
	self, err := addressOf(auth.Trust().Roots[0])
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.door == nil || s.address != self {
		door, err := lrp.NewEndpoint(lrp.EndpointConfig{Self: self, Renew: s.renew})
		if err != nil {
			return nil, err
		}
		s.door, s.address = door, self
	}
	return s.door, nil
}

// renew answers one renewal. A refusal is an answer; an error is that nothing
// works now.
func (s *Server) renew(src lrp.Addr, body []byte) ([]byte, error) {
	out, err := s.tryRenew(src, body)
	if err == nil {
		return wire.Marshal(out)
	}
	for _, o := range outcomes {
		if errors.Is(err, o.err) {
			detail := err.Error()
			return wire.Marshal(renewAnswer{Code: o.code, Detail: detail[:min(len(detail), maxDetail)]})
		}
	}
	s.log.LogAttrs(context.Background(), slog.LevelError, "renewal failed", slog.Any("error", err))
	return nil, err
}

func (s *Server) tryRenew(src lrp.Addr, body []byte) (*renewAnswer, error) {
	if !s.admit(&s.enrolled) {
		return nil, ErrBusy
	}
	var in renewRequest
	if err := wire.Unmarshal(body, &in, enrollLimit()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	var out *ca.Certified
	err := s.change(func(a *ca.Authority) (err error) {
		out, err = a.Renew(ca.Renewal{Chain: in.Chain, Signing: in.Signing, Delivery: in.Delivery}, s.cfg.Now())
		return err
	})
	if refusal(err) {
		err = fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if err != nil {
		return nil, err
	}
	s.log.LogAttrs(context.Background(), slog.LevelInfo, "certificate renewed", slog.Any("address", src), slog.Any("member", out.Member))
	return &renewAnswer{Chain: out.Chain, Delivery: out.Delivery, Roots: out.Roots}, nil
}

// refusal tells what an authority does not certify from what does not work.
func refusal(err error) bool {
	return pki.RuleOf(err) != "" || errors.Is(err, ca.ErrNoClass) || errors.Is(err, ca.ErrRequest)
}

// Frames carries one frame to an authority, or to a relay on the way to it, and
// its answers back: a binding of the license relay.
type Frames func(ctx context.Context, f lrp.Frame) ([]lrp.Frame, error)

// renewLife is how long a renewal's frame may be under way.
const renewLife = time.Minute

// Renew asks the authority with that root for new certificates of the party
// with that device ID, over the license relay. The error is one of this
// package's when the authority refused: ErrNotDue, ErrRefused, ErrBusy.
func Renew(ctx context.Context, carry Frames, root []byte, self ident.Device, chain [][]byte, req trem.SigningRequest, now time.Time) (trem.Enrollment, error) {
	dst, err := addressOf(root)
	if err != nil {
		return trem.Enrollment{}, err
	}
	body, err := wire.Marshal(renewRequest{Chain: chain, Signing: req.Signing, Delivery: req.Delivery})
	if err != nil {
		return trem.Enrollment{}, err
	}
	tx := lrp.NewTransaction(dst, lrp.Addr(self), now, renewLife)
	frames, err := carry(ctx, tx.Next(lrp.TypeRenew, body))
	if err != nil {
		return trem.Enrollment{}, fmt.Errorf("%w: %w", ErrAway, err)
	}
	for _, f := range frames {
		if err := tx.Check(f); err != nil {
			return trem.Enrollment{}, fmt.Errorf("%w: %w", ErrAway, err)
		}
		if f.Type == lrp.TypeRenew {
			return renewed(f.Body)
		}
	}
	return trem.Enrollment{}, fmt.Errorf("%w: no answer to the renewal", ErrAway)
}

func renewed(body []byte) (trem.Enrollment, error) {
	var a renewAnswer
	if err := wire.Unmarshal(body, &a, enrollLimit()); err != nil {
		return trem.Enrollment{}, fmt.Errorf("authority: answer to the renewal: %w", err)
	}
	if a.Code == "" {
		return trem.Enrollment{Chain: a.Chain, Delivery: a.Delivery, Roots: a.Roots}, nil
	}
	for _, o := range outcomes {
		if o.code == a.Code {
			return trem.Enrollment{}, fmt.Errorf("%w (%.*s)", o.err, maxDetail, a.Detail)
		}
	}
	return trem.Enrollment{}, fmt.Errorf("%w: code %q", ErrRefused, a.Code)
}
