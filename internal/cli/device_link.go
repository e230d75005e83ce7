package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// house is the device's way to its house. It proves itself there when that is asked
// for: for its letters, and for copies of logs.
func (d *device) house(self ident.Device) *lrphttp.Client {
	if d.link == nil {
		d.link = &lrphttp.Client{URL: d.cfg.Home, HTTP: d.web(), Who: introduction(d.trem, self, d.cfg.Server), Now: d.now}
	}
	return d.link
}

// introduction is a module's to a relay, signed inside the module.
func introduction(module *trem.Client, self, relay ident.Device) *lrp.Introduction {
	return &lrp.Introduction{
		Self: lrp.Addr(self), Relay: lrp.Addr(relay), Hello: lrp.DefaultHello("http", "file", "unix"),
		Sign: func(ctx context.Context, link lrp.LinkID, to lrp.Addr, hello [32]byte) (lrp.Proof, error) {
			return prover(ctx, module)(link, to, hello)
		},
	}
}

// prover makes the proofs of a module, inside of it.
func prover(ctx context.Context, module *trem.Client) lrp.Prover {
	return func(link lrp.LinkID, to lrp.Addr, hello [32]byte) (lrp.Proof, error) {
		p, err := module.ProveLink(ctx, trem.LinkOrder{Link: link, Relay: ident.Device(to), Hello: hello})
		return lrp.Proof{Leaf: p.Leaf, Statement: p.Statement}, err
	}
}

// linked does a request on the link on which this device has proven itself, and
// once more when that has lapsed, and for no other refusal: what was read once, such as
// a wrong PIN, is not said twice. make makes the request anew.
func (d *device) linked(ctx context.Context, self ident.Device, make func() (*http.Request, error)) (*http.Response, error) {
	for again := false; ; again = true {
		link, err := d.house(self).Link(ctx)
		if err != nil {
			return nil, later("the house does not know this device now: %w", err)
		}
		req, err := make()
		if err != nil {
			return nil, err
		}
		req.Header.Set(lrphttp.LinkHeader, link.Header())
		res, err := d.web().Do(req)
		if err != nil {
			return nil, later("the house does not answer: %w", err)
		}
		if res.StatusCode != http.StatusForbidden || again {
			return res, nil
		}
		lapsed, err := d.lapsed(res)
		if err != nil {
			return nil, err
		}
		if !lapsed {
			return res, nil
		}
		d.house(self).Unproven(link)
	}
}

// lapsed reports whether a refusal says that the proof of a link is not known any more. It
// hands the body of another one back to be read. An issuer does not refuse devices for
// anything else, and has no words for it.
func (d *device) lapsed(res *http.Response) (bool, error) {
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return false, later("the house does not answer: %w", err)
	}
	res.Body = io.NopCloser(bytes.NewReader(data))
	var p httpd.Problem
	return d.remote() || json.Unmarshal(data, &p) == nil && p.Code == "unproven", nil
}
