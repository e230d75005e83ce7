package authority

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/lares-drm/lares/internal/caller"
	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
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
	in, err := s.proven(r)
	if err != nil {
		return nil, err
	}
	var out ca.Taken
	err = s.change(func(a *ca.Authority) (err error) {
		out, err = a.Take(in, s.cfg.Now())
		return err
	})
	if err != nil {
		return nil, err
	}
	s.log.LogAttrs(r.Context(), slog.LevelInfo, "word of sunset taken", slog.Any("issuer", out.Issuer), slog.Any("state", out.State))
	return wire.Marshal(sunsetAnswer{State: out.State, Since: out.Since.UnixMilli()})
}

// proven reads what an issuer's module has signed. What nobody has signed is counted
// against the network that it came from, and takes no place of those who have: else
// anybody in reach would keep a shop from taking its notice back.
func (s *Server) proven(r *http.Request) (in ca.Sending, err error) {
	auth, err := s.current()
	if err != nil {
		return in, err
	}
	now, from := s.cfg.Now(), caller.Network(caller.Of(r))
	s.mu.Lock()
	tried := s.unproven.tried(from, now)
	s.mu.Unlock()
	if tried >= s.cfg.PerMinute {
		return in, ErrBusy
	}
	var body sunsetRequest
	var issuer ident.Issuer
	if err = read(r, &body, sendLimit()); err == nil {
		in = ca.Sending(body)
		issuer, err = auth.Proves(in, now)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil:
		s.unproven.count(from, now)
	case s.sent.count(issuer, now) > s.cfg.PerMinute:
		err = ErrBusy
	}
	return in, err
}

// maxMeters is how many senders are counted in a minute; from more, those that were
// counted already are. Source: local, docs/spec/sunset.md.
const maxMeters = 4096

// meters counts what is tried in a minute by each of many. The zero value is ready.
type meters[K comparable] struct {
	minute int64
	by     map[K]int
}

func (m *meters[K]) tried(who K, now time.Time) int {
	if at := now.Unix() / 60; at != m.minute || m.by == nil {
		*m = meters[K]{minute: at, by: map[K]int{}}
	}
	return m.by[who]
}

// count counts one more, and returns how many it were with it.
func (m *meters[K]) count(who K, now time.Time) int {
	n := m.tried(who, now) + 1
	if n > 1 || len(m.by) < maxMeters {
		m.by[who] = n
	}
	return n
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
