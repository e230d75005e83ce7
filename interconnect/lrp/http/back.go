package http

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/lares-drm/lares/interconnect/lrp"
)

// maxEvent is the longest line of an event in bytes: a frame in base64.
const maxEvent = 2 * lrp.MaxFrame

// Poll asks once for what waits for Who with numbers above after, and waits up to
// PollWait for a first frame.
func (c *Client) Poll(ctx context.Context, after uint64) ([]lrp.Kept, error) {
	return c.poll(ctx, after, "")
}

// Fetch asks once for what waits for Who with numbers above after. What is up to after
// is taken, and may be dropped.
func (c *Client) Fetch(ctx context.Context, after uint64) ([]lrp.Kept, error) {
	return c.poll(ctx, after, "&wait=0")
}

func (c *Client) poll(ctx context.Context, after uint64, how string) ([]lrp.Kept, error) {
	ctx, cancel := context.WithTimeout(ctx, PollWait+Timeout)
	defer cancel()
	res, err := c.get(ctx, after, how, TypeKept)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close() //nolint:errcheck // read to its end or given up
	data, err := answer(res, TypeKept)
	if err != nil {
		return nil, err
	}
	return lrp.ParseKeptSequence(data, lrp.MaxFrames)
}

// Listen gives take what waits for Who, and what comes, in order, until take or the
// stream ends: then it is lrp.ErrLost, and Listen may be called again with the
// highest number that was taken.
func (c *Client) Listen(ctx context.Context, after uint64, take func(lrp.Kept) error) error {
	res, err := c.get(ctx, after, "", typeEvents)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // given up
	if typ, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); res.StatusCode != http.StatusOK || typ != typeEvents {
		_, err := answer(res, typeEvents)
		return fmt.Errorf("%w: %w", lrp.ErrStrange, err)
	}
	in := bufio.NewScanner(res.Body)
	in.Buffer(nil, maxEvent)
	for in.Scan() {
		data, ok := strings.CutPrefix(in.Text(), "data: ")
		if !ok {
			continue // an ID, which is in the record too, or a sign of life
		}
		b, err := base64.StdEncoding.DecodeString(data)
		if err != nil {
			return fmt.Errorf("%w: event is not base64", lrp.ErrStrange)
		}
		k, err := lrp.ParseKept(b)
		if err != nil {
			return err
		}
		if err := take(k); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: %w", lrp.ErrLost, in.Err())
}

// get asks the way back on the link of Who, and once more when it has lapsed.
func (c *Client) get(ctx context.Context, after uint64, how, typ string) (*http.Response, error) {
	for again := false; ; again = true {
		link, err := c.Link(ctx)
		if err != nil {
			return nil, err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.at()+fmt.Sprintf("?after=%d%s", after, how), nil)
		if err != nil {
			return nil, fmt.Errorf("lrp: %w", err)
		}
		req.Header.Set("Accept", typ)
		req.Header.Set(LinkHeader, link.Header())
		res, err := c.client().Do(req)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", lrp.ErrLost, err)
		}
		if res.StatusCode != http.StatusForbidden || again {
			return res, nil
		}
		_ = res.Body.Close() // it has no body that means anything
		c.Unproven(link)
	}
}
