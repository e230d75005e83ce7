package cli

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
)

// mailRelay is a relay that keeps frames, as its URL names it: http://HOST#ADDRESS.
type mailRelay struct {
	url  string
	addr lrp.Addr
}

func parseMailRelay(s string) (m mailRelay, err error) {
	at, name, _ := strings.Cut(s, "#")
	if m.addr, err = parseAddr(name); err != nil {
		return m, usage("%q is not the URL of a relay with a mailbox, as lares relay serve --mail prints it: http://HOST:PORT#ADDRESS", s)
	}
	u, err := upstreamURL(at)
	if err != nil {
		return m, err
	}
	m.url = u.String()
	return m, nil
}

// client visits the relay for a module. By https its certificate is of the household's
// CA, where there is one, or of one that the world knows.
func (m mailRelay) client(who *lrp.Introduction, ca []byte, now func() time.Time) (*lrphttp.Client, error) {
	c := &lrphttp.Client{URL: m.url, Who: who, Now: now}
	if u, err := url.Parse(m.url); err != nil || u.Scheme != "https" || ca == nil {
		return c, err
	}
	tr, err := trusting(ca)
	if err != nil {
		return nil, err
	}
	c.HTTP = &http.Client{Transport: houseFirst{tr}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c, nil
}

// houseFirst trusts the household's CA, and what the world does.
type houseFirst struct{ house *http.Transport }

// RoundTrip carries one request.
func (h houseFirst) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := h.house.RoundTrip(req)
	if _, stranger := errors.AsType[x509.UnknownAuthorityError](err); !stranger || req.Body != nil && req.GetBody == nil {
		return res, err
	}
	again := req.Clone(req.Context())
	if req.Body != nil {
		if again.Body, err = req.GetBody(); err != nil {
			return nil, err
		}
	}
	return http.DefaultTransport.RoundTrip(again)
}

// leave leaves a frame in the relay's mailbox. It is durable there when leave returns
// nil; an *lrp.Error says why it is not kept.
func leave(ctx context.Context, c *lrphttp.Client, f lrp.Frame) error {
	if _, err := c.Link(ctx); err != nil {
		return err
	}
	answers, err := c.Exchange(ctx, f)
	if err != nil {
		return err
	}
	for _, a := range answers {
		if e, err := lrp.ParseError(a.Body); a.Type == lrp.TypeError && err == nil {
			return e
		}
		if a.Type == lrp.TypeAck && a.Tx == f.Tx {
			return nil
		}
	}
	return lrp.ErrStrange
}

// takeAll gives what waits at a relay to give, in order, and has save note up to which
// number all is taken. give says false for a frame that has to stay. A relay that
// always has more, or counts backwards, is left in the end: it can keep letters back,
// and nothing else.
func takeAll(ctx context.Context, c *lrphttp.Client, read uint64, give func(lrp.Kept) (bool, error), save func(uint64) error) error {
	for range lrp.MaxMailBox { // each answer has one frame at least
		kept, err := c.Fetch(ctx, read)
		if err != nil {
			return err
		}
		next, last, stays := read, read, false
		for _, k := range kept {
			if k.Number <= last {
				continue
			}
			last = k.Number
			taken, err := give(k)
			if err != nil {
				return err
			}
			if stays = stays || !taken; !stays {
				next = k.Number
			}
		}
		if next == read { // nothing more, or what cannot be judged yet
			return nil
		}
		read = next
		if err := save(read); err != nil {
			return err
		}
	}
	return nil
}

// relayWords says why a relay keeps nothing, and what helps.
func relayWords(to lrp.Addr, err error) error {
	e, said := errors.AsType[*lrp.Error](err)
	switch {
	case said && e.Code == lrp.CodeFull:
		return later("the relay's mailbox has no more room for %v from here: it empties when that one comes to it, or after a week. Try again in %v", to, max(time.Duration(e.RetryMS)*time.Millisecond, time.Second))
	case said && e.Code == lrp.CodeUnknownDst:
		return refused("the relay has no box for %v: whoever runs it gives it one (lares relay serve --box %v)", to, to)
	case said && e.Code == lrp.CodeUnproven:
		return refused("the relay does not know this secure player: whoever runs it gives it a box (lares relay serve --box)")
	}
	return later("the relay does not answer as it should: %w", err)
}
