package http

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
)

// The binding. Source: local, docs/spec/lrp.md section 6.
const (
	// Path is where a module takes frames.
	Path = "/lrp/v1/frames"
	// TypeFrame is the media type of one frame.
	TypeFrame = "application/lares-lrp-frame+cbor"
	// TypeFrames is the media type of a CBOR sequence of frames.
	TypeFrames = "application/lares-lrp-frames+cbor-seq"
	// MaxAnswer is the longest answer in bytes.
	MaxAnswer = lrp.MaxFrames * (lrp.MaxFrame + 64)
	// Timeout bounds one request and its answer.
	Timeout = 30 * time.Second
)

// Client sends frames to the module at URL. The zero HTTP is a client without
// redirects; Timeout holds for each request whatever the client says. It is safe for
// concurrent use.
type Client struct {
	URL  string // "http://127.0.0.1:7710", without Path
	HTTP *http.Client

	// Who proves itself to the module at URL when that asks for it, and again when
	// the proof holds no more. Nil: nobody.
	Who *lrp.Introduction
	Now func() time.Time // required with Who

	mu   sync.Mutex
	link lrp.LinkID // guarded by mu; zero: not proven
}

// Exchange sends one frame and returns the frames that answer it. An error
// that is lrp.ErrLost may be tried again.
func (c *Client) Exchange(ctx context.Context, f lrp.Frame) ([]lrp.Frame, error) {
	c.mu.Lock()
	link := c.link
	c.mu.Unlock()
	answers, err := c.carry(ctx, link, f)
	if c.Who == nil || err != nil || !lrp.Unproven(f, answers) {
		return answers, err
	}
	c.Unproven(link) // it has lapsed, or the other side was started anew
	if link, err = c.Link(ctx); err != nil {
		return nil, err
	}
	return c.carry(ctx, link, f)
}

// Link is the link on which Who has proven itself, now if it has not; zero without
// Who.
func (c *Client) Link(ctx context.Context) (lrp.LinkID, error) {
	if c.Who == nil {
		return lrp.LinkID{}, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link != (lrp.LinkID{}) {
		return c.link, nil
	}
	link, _, err := lrp.Introduce(ctx, *c.Who, c.Now(), c.carry)
	if err != nil {
		return lrp.LinkID{}, err
	}
	c.link = link
	return link, nil
}

// Unproven forgets a link on which the other side does not know Who any more.
func (c *Client) Unproven(link lrp.LinkID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link == link {
		c.link = lrp.LinkID{}
	}
}

// Pass carries another's frame on the link that it came on: what a relay does.
func (c *Client) Pass(ctx context.Context, link lrp.LinkID, f lrp.Frame) ([]lrp.Frame, error) {
	return c.carry(ctx, link, f)
}

// carry sends one frame on a link.
func (c *Client) carry(ctx context.Context, link lrp.LinkID, f lrp.Frame) ([]lrp.Frame, error) {
	body, err := f.Encode()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.at(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("lrp: %w", err)
	}
	req.Header.Set("Content-Type", TypeFrame)
	req.Header.Set("Accept", TypeFrames)
	if link != (lrp.LinkID{}) {
		req.Header.Set(LinkHeader, link.Header())
	}
	res, err := c.client().Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", lrp.ErrLost, err)
	}
	defer res.Body.Close() //nolint:errcheck // read to its end or given up
	data, err := answer(res, TypeFrames)
	if err != nil {
		return nil, err
	}
	return lrp.ParseSequence(data, lrp.MaxFrames)
}

func (c *Client) at() string { return strings.TrimSuffix(c.URL, "/") + Path }

func (c *Client) client() *http.Client {
	if c.HTTP != nil {
		return c.HTTP
	}
	return &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// later is a peer's status that says to come again: lrp.ErrLost, with advice.
type later struct {
	status string
	after  time.Duration // 0 = no advice
}

func (l *later) Error() string { return lrp.ErrLost.Error() + ": " + l.status }
func (l *later) Unwrap() error { return lrp.ErrLost }

// retryAfter is the advice of a header, in seconds (RFC 9110, 10.2.3).
func retryAfter(h http.Header) time.Duration {
	n, err := strconv.ParseUint(h.Get("Retry-After"), 10, 16)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

// answer reads the body of an answer of the given type.
func answer(res *http.Response, typ string) ([]byte, error) {
	switch {
	case res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests:
		return nil, &later{status: res.Status, after: retryAfter(res.Header)}
	case res.StatusCode == http.StatusForbidden:
		return nil, fmt.Errorf("%w: %s", lrp.ErrProof, res.Status)
	case res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("lrp: the peer answered %s", res.Status)
	case !isType(res.Header.Get("Content-Type"), typ):
		return nil, fmt.Errorf("lrp: the peer's answer is not %s", typ)
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, MaxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", lrp.ErrLost, err)
	}
	if len(data) > MaxAnswer {
		return nil, fmt.Errorf("%w: answer over %d bytes", lrp.ErrFrame, MaxAnswer)
	}
	return data, nil
}

func isType(header, want string) bool {
	if header == want {
		return true
	}
	got, _, err := mime.ParseMediaType(header)
	return err == nil && got == want
}
