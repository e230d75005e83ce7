package conform

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/internal/wire"
)

// withFrames are the servers that take frames.
func withFrames() []Role { return []Role{Issuer, Home} }

func bindingChecks() []check {
	return []check{
		{"lrp.md 6", "a frame of another media type is refused with 415", withFrames(), func(ctx context.Context, s *subject) error {
			f, err := s.hello(lrp.Hello{})
			if err == nil {
				_, err = s.wantStatus(ctx, "a frame as text/plain", http.MethodPost, lrphttp.Path, "text/plain", f, http.StatusUnsupportedMediaType)
			}
			return err
		}},
		{"lrp.md 6", "what is no frame is refused with 400", withFrames(), func(ctx context.Context, s *subject) error {
			good, err := s.hello(lrp.Hello{})
			if err != nil {
				return err
			}
			return s.refusedBodies(ctx, http.StatusBadRequest, map[string][]byte{
				"an empty body": {}, "bytes of no CBOR": {0xff, 0xff}, "a frame that is cut": good[:len(good)-1], "a frame with a byte behind it": append(bytes.Clone(good), 0),
				"an array of eight": append([]byte{0x88}, good[1:]...), "version 2": slices.Concat(good[:1], []byte{2}, good[2:]),
				"type 0": slices.Concat(good[:2], []byte{0}, good[3:]), "a version in two bytes": slices.Concat(good[:1], []byte{0x18, 1}, good[2:]),
			})
		}},
		{"lrp.md vectors", "what the public vectors say is refused, is refused", withFrames(), checkVectors},
		{"lrp.md 6", "more than 65,632 bytes are refused with 413", withFrames(), func(ctx context.Context, s *subject) error {
			return s.refusedBodies(ctx, http.StatusRequestEntityTooLarge, map[string][]byte{"a body of 70,000 bytes": make([]byte, 70_000)})
		}},
		{"lrp.md 6", "GET without a proven link is refused with 403 or 405", withFrames(), func(ctx context.Context, s *subject) error {
			_, err := s.wantStatus(ctx, "GET without a link", http.MethodGet, lrphttp.Path+"?after=0", "", nil, http.StatusForbidden, http.StatusMethodNotAllowed)
			return err
		}},
		{"lrp.md 6", "PUT is refused with 405", withFrames(), func(ctx context.Context, s *subject) error {
			_, err := s.wantStatus(ctx, "PUT", http.MethodPut, lrphttp.Path, lrphttp.TypeFrame, nil, http.StatusMethodNotAllowed)
			return err
		}},
	}
}

// checkVectors sends the vectors of lrp.md that no reader takes: frames get 400, bodies
// in a good frame an ERROR.
func checkVectors(ctx context.Context, s *subject) error {
	var v struct {
		Bodies []struct {
			Name, Kind, Hex string
			Take            bool
		}
	}
	if err := json.Unmarshal(lrp.Vectors(), &v); err != nil {
		return err
	}
	var errs []error
	sent := 0
	for _, x := range v.Bodies {
		data, err := hex.DecodeString(x.Hex)
		typ, inFrame := map[string]lrp.Type{"hello": lrp.TypeHello, "sltp": lrp.TypeSLTP}[x.Kind]
		switch {
		case err != nil:
			return err
		case x.Take || x.Kind != "frame" && !inFrame || len(data) > lrp.MaxBody:
			continue
		case x.Kind == "frame":
			_, err = s.wantStatus(ctx, x.Kind+", "+x.Name, http.MethodPost, lrphttp.Path, lrphttp.TypeFrame, data, http.StatusBadRequest, http.StatusRequestEntityTooLarge)
		default:
			var got []lrp.Frame
			got, _, err = s.send(ctx, s.frame(typ, data))
			err = wantError(x.Kind+", "+x.Name, got, err, lrp.CodeMalformed, lrp.CodeUnsupported)
		}
		sent++
		errs = append(errs, err)
	}
	if sent == 0 {
		return errors.New("no vectors are here to send")
	}
	return errors.Join(errs...)
}

func (s *subject) refusedBodies(ctx context.Context, want int, bodies map[string][]byte) error {
	var errs []error
	for what, body := range bodies {
		_, err := s.wantStatus(ctx, what, http.MethodPost, lrphttp.Path, lrphttp.TypeFrame, body, want)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// me is an address of the judge.
func me() (a lrp.Addr) {
	rand.Read(a[:]) // never returns an error
	return a
}

// frame is the first frame of a new transaction of the judge's.
func (s *subject) frame(typ lrp.Type, body []byte) lrp.Frame {
	return lrp.NewTransaction(s.addr, s.source(), s.cfg.Now(), time.Minute).Next(typ, body)
}

// source is an address of the judge's: a new one, or the one that has shown an account.
func (s *subject) source() lrp.Addr {
	if s.authKey != nil {
		return s.self
	}
	return me()
}

func offer() lrp.Hello {
	return lrp.Hello{Versions: []uint64{1}, Protocols: []string{"sltp/edhoc-0-2", "x-none"}, Bindings: []string{"http"}, Limits: lrp.Limits{Body: 4096, Frames: 2, Pending: 3}}
}

// hello is an encoded HELLO frame; the zero one is a plain offer.
func (s *subject) hello(h lrp.Hello) ([]byte, error) {
	if h.Versions == nil {
		h = offer()
	}
	body, err := h.Encode()
	if err != nil {
		return nil, err
	}
	return s.frame(lrp.TypeHello, body).Encode()
}

// carry sends an encoded frame and reads the frames that answer it.
func (s *subject) carry(ctx context.Context, frame []byte) ([]lrp.Frame, []byte, error) {
	a, err := s.wantStatus(ctx, "a frame", http.MethodPost, lrphttp.Path, lrphttp.TypeFrame, frame, http.StatusOK)
	if err != nil {
		return nil, nil, err
	}
	if a.typ != lrphttp.TypeFrames {
		return nil, nil, fmt.Errorf("a frame: expected media type %s, seen %q", lrphttp.TypeFrames, a.typ)
	}
	out, err := lrp.ParseSequence(a.body, lrp.MaxFrames)
	if err != nil {
		return nil, nil, fmt.Errorf("a frame: expected a CBOR sequence of at most %d frames, seen %d bytes: %w", lrp.MaxFrames, len(a.body), err)
	}
	return out, a.body, nil
}

// send is carry for a frame.
func (s *subject) send(ctx context.Context, f lrp.Frame) ([]lrp.Frame, []byte, error) {
	data, err := f.Encode()
	if err != nil {
		return nil, nil, err
	}
	return s.carry(ctx, data)
}

// wantError wants one ERROR frame of a code as the whole answer.
func wantError(what string, got []lrp.Frame, err error, codes ...lrp.Code) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if len(got) != 1 || got[0].Type != lrp.TypeError {
		return fmt.Errorf("%s: expected ERROR %v, seen %s", what, codes, frames(got))
	}
	e, err := lrp.ParseError(got[0].Body)
	if err != nil {
		return fmt.Errorf("%s: expected ERROR %v, seen what is none: %w", what, codes, err)
	}
	if !slices.Contains(codes, e.Code) {
		return fmt.Errorf("%s: expected ERROR %v, seen ERROR %v", what, codes, e.Code)
	}
	return nil
}

func frames(list []lrp.Frame) string {
	if len(list) == 0 {
		return "no frame"
	}
	var out strings.Builder
	for _, f := range list {
		if e, err := lrp.ParseError(f.Body); f.Type == lrp.TypeError && err == nil {
			fmt.Fprintf(&out, "[ERROR %v]", e.Code)
			continue
		}
		fmt.Fprintf(&out, "[type %d, %d bytes]", f.Type, len(f.Body))
	}
	return out.String()
}

func helloChecks() []check {
	return []check{
		{"lrp.md 3", "HELLO is answered with one version, what both have, and the hash of the offer", withFrames(), checkHello},
		{"lrp.md 3", "of several versions the highest common one is taken", withFrames(), func(ctx context.Context, s *subject) error {
			h := offer()
			h.Versions = []uint64{1, 9}
			got, err := s.agree(ctx, h)
			if err == nil && !slices.Equal(got.Versions, []uint64{1}) {
				err = fmt.Errorf("versions 1 and 9: expected 1, seen %v", got.Versions)
			}
			return err
		}},
		{"lrp.md 3", "no common version is ERROR VERSION", withFrames(), func(ctx context.Context, s *subject) error {
			h := offer()
			h.Versions = []uint64{9}
			f, err := s.hello(h)
			if err != nil {
				return err
			}
			got, _, err := s.carry(ctx, f)
			return wantError("version 9 alone", got, err, lrp.CodeVersion)
		}},
		{"lrp.md 3", "an unknown even key is passed over, an unknown odd one refused", withFrames(), checkHelloKeys},
		{"lrp.md 3", "limits of the answer are those of the smaller side", withFrames(), func(ctx context.Context, s *subject) error {
			got, err := s.agree(ctx, offer())
			if err == nil && (got.Limits.Body > 4096 || got.Limits.Frames > 2 || got.Limits.Pending > 3 || got.Limits.Body == 0) {
				err = fmt.Errorf("limits 4096, 2, 3: expected at most these, seen %+v", got.Limits)
			}
			return err
		}},
	}
}

func checkHello(ctx context.Context, s *subject) error {
	h := offer()
	body, err := h.Encode()
	if err != nil {
		return err
	}
	got, err := s.agree(ctx, h)
	if err != nil {
		return err
	}
	want := sha256.Sum256(body)
	switch {
	case len(got.Versions) != 1 || got.Versions[0] != 1:
		return fmt.Errorf("expected version 1 alone, seen %v", got.Versions)
	case slices.Contains(got.Protocols, "x-none") || !slices.Contains(got.Protocols, "sltp/edhoc-0-2"):
		return fmt.Errorf("expected of the offered protocols those that it has, with sltp/edhoc-0-2, seen %v", got.Protocols)
	case !bytes.Equal(got.Offer, want[:]):
		return fmt.Errorf("expected the hash of the offer, %x, seen %x", want, got.Offer)
	}
	return nil
}

// agree sends a HELLO and reads the HELLO that answers it.
func (s *subject) agree(ctx context.Context, h lrp.Hello) (out lrp.Hello, err error) {
	f, err := s.hello(h)
	if err != nil {
		return out, err
	}
	got, _, err := s.carry(ctx, f)
	if err != nil {
		return out, err
	}
	if len(got) != 1 || got[0].Type != lrp.TypeHello {
		return out, fmt.Errorf("expected one HELLO, seen %s", frames(got))
	}
	return lrp.ParseHello(got[0].Body)
}

// checkHelloKeys adds a key to the map of an offer.
func checkHelloKeys(ctx context.Context, s *subject) error {
	body, err := offer().Encode()
	if err != nil {
		return err
	}
	with := func(key byte) []byte {
		out := append([]byte{body[0] + 1}, body[1:]...) // a map of one more
		return append(out, 0x18, key, 0x01)
	}
	got, _, err := s.send(ctx, s.frame(lrp.TypeHello, with(30)))
	if err != nil || len(got) != 1 || got[0].Type != lrp.TypeHello {
		return fmt.Errorf("even key 30: expected a HELLO, seen %s, %w", frames(got), err)
	}
	got, _, err = s.send(ctx, s.frame(lrp.TypeHello, with(31)))
	return wantError("odd key 31", got, err, lrp.CodeMalformed, lrp.CodeUnsupported)
}

func frameChecks() []check {
	return []check{
		{"lrp.md 4", "the same frame again gets the same answer, byte for byte", withFrames(), func(ctx context.Context, s *subject) error {
			f, err := s.message1([]any{2})
			if err != nil {
				return err
			}
			_, first, err := s.send(ctx, f)
			if err != nil {
				return err
			}
			_, again, err := s.send(ctx, f)
			if err == nil && (!bytes.Equal(first, again) || len(first) == 0) {
				err = fmt.Errorf("expected the same %d bytes again, seen %d", len(first), len(again))
			}
			return err
		}},
		{"lrp.md 4", "other bytes under a number that was served are ERROR MALFORMED, a lower number is ERROR STALE", withFrames(), checkNumbers},
		{"lrp.md 4", "an expired frame is ERROR EXPIRED", withFrames(), func(ctx context.Context, s *subject) error {
			f, err := s.message1([]any{2})
			if err != nil {
				return err
			}
			f.Expires = s.cfg.Now().Add(-time.Hour).UnixMilli()
			got, _, err := s.send(ctx, f)
			return wantError("expired an hour ago", got, err, lrp.CodeExpired)
		}},
		{"lrp.md 4", "a frame for nobody here is ERROR UNKNOWN_DST or UNPROVEN", withFrames(), func(ctx context.Context, s *subject) error {
			f, err := s.message1([]any{2})
			if err != nil {
				return err
			}
			f.Dst = me()
			got, _, err := s.send(ctx, f)
			return wantError("for a random address", got, err, lrp.CodeUnknownDst, lrp.CodeUnproven)
		}},
		{"lrp.md 4", "ACK and ERROR are not answered", withFrames(), func(ctx context.Context, s *subject) error {
			e, err := lrp.Error{Code: lrp.CodeBusy}.Encode()
			if err != nil {
				return err
			}
			for what, f := range map[string]lrp.Frame{"ACK": s.frame(lrp.TypeAck, []byte{}), "ERROR": s.frame(lrp.TypeError, e)} {
				got, _, err := s.send(ctx, f)
				if err != nil {
					return err
				}
				if len(got) != 0 {
					return fmt.Errorf("%s: expected no frame, seen %s", what, frames(got))
				}
			}
			return nil
		}},
		{"lrp.md 5", "RESUME of nothing is ERROR UNKNOWN_TX", withFrames(), func(ctx context.Context, s *subject) error {
			got, _, err := s.send(ctx, s.frame(lrp.TypeResume, []byte{}))
			return wantError("RESUME", got, err, lrp.CodeUnknownTx)
		}},
		{"lrp.md 2", "an SLTP body of another layout is ERROR MALFORMED", withFrames(), func(ctx context.Context, s *subject) error {
			got, _, err := s.send(ctx, s.frame(lrp.TypeSLTP, []byte{0x81, 0xf6}))
			return wantError("an array of one", got, err, lrp.CodeMalformed)
		}},
	}
}

func checkNumbers(ctx context.Context, s *subject) error {
	t := lrp.NewTransaction(s.addr, s.source(), s.cfg.Now(), time.Minute)
	bodies := make([][]byte, 3)
	for i := range bodies {
		f, err := s.message1([]any{2})
		if err != nil {
			return err
		}
		bodies[i] = f.Body
	}
	first, second := t.Next(lrp.TypeSLTP, bodies[0]), t.Next(lrp.TypeSLTP, bodies[1])
	for _, f := range []lrp.Frame{first, second} {
		if _, _, err := s.send(ctx, f); err != nil {
			return err
		}
	}
	other := second
	other.Body = bodies[2]
	got, _, err := s.send(ctx, other)
	if err := wantError("other bytes under the same number", got, err, lrp.CodeMalformed); err != nil {
		return err
	}
	got, _, err = s.send(ctx, first)
	return wantError("a lower number", got, err, lrp.CodeStale)
}

// sequence is a CBOR sequence of some items.
func sequence(items ...any) ([]byte, error) {
	var out []byte
	for _, it := range items {
		b, err := wire.Marshal(it)
		if err != nil {
			return nil, err
		}
		out = append(out, b...)
	}
	return out, nil
}
