package cli

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/license/ident"
)

// spot is where the files of a title are: content.json, and the others beside it.
type spot struct {
	manifest *content.Manifest
	from     string // address of the files, with a slash at its end
	web      *http.Client
}

// places asks the house where a title's files can be had, in the order in which they
// are to be tried, and does not say who asks. A house of an earlier build says nothing.
func (d *device) places(ctx context.Context, id ident.Content) ([]lrp.Content, error) {
	if d.cfg.Server == (ident.Device{}) {
		return nil, nil
	}
	body, err := lrp.Content{ID: []byte(id), SHA256: []byte{}, Ranges: [][2]uint64{}}.Encode()
	if err != nil {
		return nil, err
	}
	tx := lrp.NewTransaction(lrp.Addr(d.cfg.Server), lrp.Addr(lrp.NewTx()), d.now(), lrp.Life)
	answers, err := (&lrphttp.Client{URL: d.cfg.Home, HTTP: d.web()}).Exchange(ctx, tx.Next(lrp.TypeContent, body))
	if err != nil {
		return nil, later("the house does not answer: %w", err)
	}
	var out []lrp.Content
	for _, a := range answers {
		if a.Type != lrp.TypeContent || tx.Check(a) != nil {
			continue // an ERROR: it does not serve this
		}
		c, err := lrp.ParseContent(a.Body)
		if err != nil {
			return nil, err
		}
		if string(c.ID) == string(id) && c.URL != "" {
			out = append(out, c)
		}
	}
	return out, nil
}

// find is the first place that has a title's content.json as the house said it; of a
// house that says nothing, the house itself.
func (d *device) find(ctx context.Context, id ident.Content) (*spot, error) {
	places, err := d.places(ctx, id)
	if err != nil {
		return nil, err
	}
	if len(places) == 0 {
		src, err := d.files(id, "")
		if err != nil {
			return nil, err
		}
		m, err := src.manifest(ctx)
		return &spot{m, strings.TrimSuffix(d.cfg.Home, "/") + "/content/" + url.PathEscape(id.String()) + "/", d.web()}, err
	}
	var errs []error
	for _, p := range places {
		s, err := d.at(ctx, id, p)
		if err == nil {
			return s, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// at looks whether a place has what the house said.
func (d *device) at(ctx context.Context, id ident.Content, p lrp.Content) (*spot, error) {
	base, err := url.Parse(d.cfg.Home)
	if err != nil {
		return nil, fmt.Errorf("the house's address: %w", err)
	}
	to, err := base.Parse(p.URL)
	if err != nil || to.Scheme != "http" && to.Scheme != "https" {
		return nil, fmt.Errorf("the house names a place that is no address")
	}
	s := &spot{web: http.DefaultClient}
	if to.Scheme == base.Scheme && to.Host == base.Host {
		s.web = d.web()
	}
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	data, err := fetch(ctx, s.web, to.String())
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); len(p.SHA256) > 0 && string(sum[:]) != string(p.SHA256) {
		return nil, fmt.Errorf("%s has another %s than the house", to.Host, content.ManifestName)
	}
	if s.manifest, err = content.ParseManifest(data); err != nil {
		return nil, err
	}
	if s.manifest.Content != id {
		return nil, fmt.Errorf("%s holds %v, not %v", to.Host, s.manifest.Content, id)
	}
	s.from = to.JoinPath("..").String()
	if !strings.HasSuffix(s.from, "/") {
		s.from += "/"
	}
	return s, nil
}
