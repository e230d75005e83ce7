package authority

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/lares-drm/lares/internal/wire"
	ca "github.com/lares-drm/lares/security/pki/authority"
)

// sunsetRequest is a notice of sunset, or a withdrawal, that an issuer sends.
type sunsetRequest struct {
	Statement []byte   `cbor:"1,keyasint"` // signed with the notice key
	Key       []byte   `cbor:"2,keyasint"` // that key
	Chain     [][]byte `cbor:"3,keyasint"` // of the issuer's module
	Proof     []byte   `cbor:"4,keyasint"` // its word: an object of kind sunset-sent
}

type sunsetAnswer struct {
	State ca.SentState `cbor:"1,keyasint"` // SentWaits, SentStands or SentWithdrawn
	Since int64        `cbor:"2,keyasint"` // Unix ms
}

func sendLimit() wire.Limit { return wire.Limit{Bytes: maxSend, Items: 8, Depth: 3} }

// sunset files what an issuer sends (docs/spec/sunset.md section 3). When it is
// answered it is durable, and whoever heard no answer sends it again.
func (s *Server) sunset(r *http.Request) ([]byte, error) {
	if !s.admit(&s.sunsets) {
		return nil, ErrBusy
	}
	var in sunsetRequest
	if err := read(r, &in, sendLimit()); err != nil {
		return nil, err
	}
	var out ca.Taken
	err := s.change(func(a *ca.Authority) (err error) {
		out, err = a.Take(ca.Sending{Statement: in.Statement, Key: in.Key, Chain: in.Chain, Proof: in.Proof}, s.cfg.Now())
		return err
	})
	if err != nil {
		return nil, err
	}
	s.log.LogAttrs(r.Context(), slog.LevelInfo, "word of sunset taken", slog.Any("issuer", out.Issuer), slog.Any("state", out.State))
	return wire.Marshal(sunsetAnswer{State: out.State, Since: out.Since.UnixMilli()})
}

// SendSunset sends a notice of sunset, or a withdrawal, and returns what has become
// of it. ErrSunset and ErrMalformed are final; after another error the same may be
// sent again, with a new word of the module.
func (c *Client) SendSunset(ctx context.Context, in ca.Sending) (ca.Taken, error) {
	body, err := wire.Marshal(sunsetRequest(in))
	if err != nil {
		return ca.Taken{}, err
	}
	data, err := c.do(ctx, http.MethodPost, PathSunset, body, maxSent)
	if err != nil {
		return ca.Taken{}, err
	}
	var a sunsetAnswer
	if err := wire.Unmarshal(data, &a, wire.Limit{Bytes: maxSent, Items: 2, Depth: 1}); err != nil {
		return ca.Taken{}, fmt.Errorf("authority: answer to the sunset: %w", err)
	}
	if a.State < ca.SentWaits || a.State > ca.SentWithdrawn {
		return ca.Taken{}, fmt.Errorf("%w: unknown state %d", ErrAway, a.State)
	}
	return ca.Taken{State: a.State, Since: time.UnixMilli(a.Since).UTC()}, nil
}
