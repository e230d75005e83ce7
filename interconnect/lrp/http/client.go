package http

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
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
	MaxAnswer = lrp.MaxFrames * lrp.MaxFrame
	// Timeout bounds one request and its answer.
	Timeout = 30 * time.Second
)

// Client sends frames to the module at URL. The zero HTTP is a client without
// redirects; Timeout holds for each request whatever the client says.
type Client struct {
	URL  string // "http://127.0.0.1:7710", without Path
	HTTP *http.Client
}

// Exchange sends one frame and returns the frames that answer it. An error
// that is lrp.ErrLost may be tried again.
func (c *Client) Exchange(ctx context.Context, f lrp.Frame) ([]lrp.Frame, error) {
	body, err := f.Encode()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.URL, "/")+Path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("lrp: %w", err)
	}
	req.Header.Set("Content-Type", TypeFrame)
	req.Header.Set("Accept", TypeFrames)
	res, err := c.client().Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", lrp.ErrLost, err)
	}
	defer res.Body.Close() //nolint:errcheck // read to its end or given up
	return answer(res)
}

func (c *Client) client() *http.Client {
	if c.HTTP != nil {
		return c.HTTP
	}
	return &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func answer(res *http.Response) ([]lrp.Frame, error) {
	switch {
	case res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests:
		return nil, fmt.Errorf("%w: %s", lrp.ErrLost, res.Status)
	case res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("lrp: the peer answered %s", res.Status)
	case !isType(res.Header.Get("Content-Type"), TypeFrames):
		return nil, errors.New("lrp: the peer's answer is not a sequence of frames")
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, MaxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", lrp.ErrLost, err)
	}
	if len(data) > MaxAnswer {
		return nil, fmt.Errorf("%w: answer over %d bytes", lrp.ErrFrame, MaxAnswer)
	}
	return lrp.ParseSequence(data, lrp.MaxFrames)
}

func isType(header, want string) bool {
	got, _, err := mime.ParseMediaType(header)
	return err == nil && got == want
}
