package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/service/home"
)

// proving carries requests to the house. Where the house gives a title's files to its
// own devices only, it proves that this is one.
type proving struct {
	d   *device
	way http.RoundTripper

	mu   sync.Mutex
	link lrp.LinkID // guarded by mu; on which this device has proven itself; zero: none
}

// RoundTrip carries one request.
func (p *proving) RoundTrip(req *http.Request) (*http.Response, error) {
	if !strings.HasPrefix(req.URL.Path, "/content/") && !strings.HasPrefix(req.URL.Path, home.PathFilms) {
		return p.way.RoundTrip(req)
	}
	link := p.known()
	res, err := p.way.RoundTrip(on(link, req))
	if err != nil || res.StatusCode != http.StatusForbidden {
		return res, err
	}
	if link, err = p.prove(req.Context(), link); err != nil {
		if _, said := errors.AsType[*lrp.Error](err); said || errors.Is(err, lrp.ErrProof) {
			return res, nil // the house does not know this device: it stays at that answer
		}
		_ = res.Body.Close()
		return nil, fmt.Errorf("this device cannot prove to its house who it is now: %w", err)
	}
	_ = res.Body.Close()
	return p.way.RoundTrip(on(link, req))
}

// on says on which link a request comes. Requests for files have no body.
func on(link lrp.LinkID, req *http.Request) *http.Request {
	if link == (lrp.LinkID{}) {
		return req
	}
	req = req.Clone(req.Context())
	req.Header.Set(lrphttp.LinkHeader, link.Header())
	return req
}

func (p *proving) known() lrp.LinkID {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.link
}

// prove proves this device on a link other than one that did not do. Of several
// requests that want it, the first does it.
func (p *proving) prove(ctx context.Context, not lrp.LinkID) (link lrp.LinkID, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.link != not {
		return p.link, nil
	}
	if p.d.trem == nil { // the command needs no module but for this
		err = withDevice(&Env{Now: p.d.now}, p.d.dir, func(d *device) error {
			link, err = d.proveOn(ctx, not)
			return err
		})
	} else {
		link, err = p.d.proveOn(ctx, not)
	}
	if err == nil {
		p.link = link
	}
	return link, err
}

// proveOn proves this device to its house, on a link other than one that did not do.
func (d *device) proveOn(ctx context.Context, not lrp.LinkID) (lrp.LinkID, error) {
	st, err := d.trem.Status(ctx)
	if err != nil {
		return lrp.LinkID{}, err
	}
	house := d.house(st.Device)
	house.Unproven(not)
	return house.Link(ctx)
}
