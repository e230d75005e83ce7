package authority

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/pki"
	ca "github.com/lares-drm/lares/security/pki/authority"
	"github.com/lares-drm/lares/security/revocation"
	"github.com/lares-drm/lares/security/trem"
)

// Client asks an authority, or a relay of its statements. It believes nothing
// that it carries: modules check every statement themselves, except the roots
// of an enrollment, which decide whom a module believes from then on.
type Client struct {
	URL  string       // required, without path
	HTTP *http.Client // default: one with a timeout of 30 seconds
}

const clientTimeout = 30 * time.Second

// Enroll asks for certificates and returns what the module's Enroll takes.
func (c *Client) Enroll(ctx context.Context, r Request) (trem.Enrollment, error) {
	in := enrollRequest{Role: uint8(r.Role), Class: uint32(r.Class), Signing: r.Signing, Delivery: r.Delivery, Voucher: r.Voucher, Anchor: uint8(r.Anchor)}
	if r.Level > pki.SL1 {
		in.Level = uint8(r.Level)
	}
	body, err := wire.Marshal(in)
	if err != nil {
		return trem.Enrollment{}, err
	}
	data, err := c.do(ctx, http.MethodPost, PathEnroll, body, maxTrust)
	if err != nil {
		return trem.Enrollment{}, err
	}
	var a enrollAnswer
	if err := wire.Unmarshal(data, &a, enrollLimit()); err != nil {
		return trem.Enrollment{}, fmt.Errorf("authority: answer to the enrollment: %w", err)
	}
	return trem.Enrollment{Chain: a.Chain, Delivery: a.Delivery, Roots: a.Roots}, nil
}

// Trust returns the signers' chains. Its roots are only a hint.
func (c *Client) Trust(ctx context.Context) (ca.Trust, error) {
	var t ca.Trust
	data, err := c.do(ctx, http.MethodGet, PathTrust, nil, maxTrust)
	if err != nil {
		return t, err
	}
	if err := wire.Unmarshal(data, &t, enrollLimit()); err != nil {
		return t, fmt.Errorf("authority: trust: %w", err)
	}
	return t, nil
}

// Head returns the newest signed head, unchecked.
func (c *Client) Head(ctx context.Context) ([]byte, error) {
	return c.do(ctx, http.MethodGet, PathHead, nil, revocation.HeadLen)
}

// Snapshot returns the state of an epoch; 0 means the newest.
func (c *Client) Snapshot(ctx context.Context, epoch uint64) ([]byte, error) {
	path := PathSnapshot
	if epoch > 0 {
		path += "?epoch=" + strconv.FormatUint(epoch, 10)
	}
	return c.do(ctx, http.MethodGet, path, nil, revocation.MaxSnapshot)
}

// Delta returns the step between two epochs; ErrEpoch when there is none.
func (c *Client) Delta(ctx context.Context, from, to uint64) ([]byte, error) {
	return c.do(ctx, http.MethodGet, fmt.Sprintf("%s/%d/%d", PathDelta, from, to), nil, revocation.MaxDelta)
}

// Token returns a time token for a nonce of 16 bytes, unchecked.
func (c *Client) Token(ctx context.Context, nonce []byte) ([]byte, error) {
	return c.do(ctx, http.MethodGet, PathTime+"?nonce="+hex.EncodeToString(nonce), nil, revocation.MaxTimeToken)
}

// State returns the newest revocation state with its signer's chain: what a
// module's Learn takes. From the epoch that the module has (0: none) it is the step
// from there, where one is kept: some hundred bytes instead of all of the state.
func (c *Client) State(ctx context.Context, have uint64) (trem.Learned, error) {
	head, err := c.Head(ctx)
	if err != nil {
		return trem.Learned{}, err
	}
	h, err := revocation.ParseHead(head)
	if err != nil {
		return trem.Learned{}, err
	}
	t, err := c.Trust(ctx)
	if err != nil {
		return trem.Learned{}, err
	}
	l := trem.Learned{Head: head, HeadChain: t.StateSigner, Change: t.Change, Rotations: t.Rotations, Notices: c.notices(ctx)}
	if 0 < have && have < h.Epoch.Number {
		if l.Delta, err = c.Delta(ctx, have, h.Epoch.Number); err == nil {
			return l, nil
		}
	}
	l.Delta = nil
	l.Snapshot, err = c.Snapshot(ctx, h.Epoch.Number)
	return l, err
}

// notices are the notices of sunset that stand. Without them a sunset by notice
// comes later, and nothing else: an authority or relay that does not serve them is no error.
func (c *Client) notices(ctx context.Context) [][]byte {
	out, err := c.Notices(ctx)
	if err != nil {
		return nil
	}
	return out
}

// Notices returns the notices of sunset that stand, each in the state signer's words,
// unchecked.
func (c *Client) Notices(ctx context.Context) (out [][]byte, err error) {
	data, err := c.do(ctx, http.MethodGet, PathSunsets, nil, maxSunset)
	if err != nil {
		return nil, err
	}
	if err := wire.Unmarshal(data, &out, wire.Limit{Bytes: maxSunset, Items: 1024, Depth: 2}); err != nil {
		return nil, fmt.Errorf("authority: notices of sunset: %w", err)
	}
	return out, nil
}

// Time returns a time token with its signer's chain: what a module's Learn takes.
func (c *Client) Time(ctx context.Context, nonce []byte) (trem.Learned, error) {
	token, err := c.Token(ctx, nonce)
	if err != nil {
		return trem.Learned{}, err
	}
	t, err := c.Trust(ctx)
	if err != nil {
		return trem.Learned{}, err
	}
	return trem.Learned{Time: token, TimeChain: t.TimeSigner, Rotations: t.Rotations}, nil
}

func (c *Client) do(ctx context.Context, method, path string, body []byte, limit int) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.URL, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ask the authority: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", typeCBOR)
	}
	client := c.HTTP
	if client == nil {
		client = &http.Client{Timeout: clientTimeout}
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAway, err)
	}
	defer res.Body.Close() //nolint:errcheck // read only
	if res.StatusCode != http.StatusOK {
		limit = maxProblem
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAway, err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, problemOf(res.StatusCode, data)
	}
	if len(data) > limit {
		return nil, fmt.Errorf("authority: answer to %s is over %d bytes", path, limit)
	}
	return data, nil
}

// problemOf turns an answer back into the error that it was made of.
func problemOf(status int, data []byte) error {
	var p problem
	if err := json.Unmarshal(data, &p); err == nil {
		for _, o := range outcomes {
			if o.code == p.Code {
				return fmt.Errorf("%w (the authority says: %s)", o.err, p.Detail)
			}
		}
	}
	return fmt.Errorf("%w: HTTP status %d", ErrAway, status)
}
