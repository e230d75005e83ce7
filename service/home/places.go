package home

import (
	"crypto/sha256"
	"errors"
	"io"
	"net/url"
	"strings"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/license/ident"
)

// Places answers where a title's files can be had: the mirrors first, then this
// server itself, by an address that begins where the question went. Each names
// content.json, its hash and its length; the other files lie beside it, and
// content.json has their hashes. What is not in the library has no place.
func (h *Home) Places(ask lrp.Content) ([]lrp.Content, error) {
	if ask.URL != "" { // nobody is believed here
		return nil, nil
	}
	var id ident.Content
	if err := id.UnmarshalBinary(ask.ID); err != nil {
		return nil, nil // no title is called so
	}
	t, err := h.Title(id)
	if errors.Is(err, ErrUnknown) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f, err := t.Open(content.ManifestName)
	if err != nil {
		return nil, nil // its disk is away
	}
	defer f.Close() //nolint:errcheck // read only
	sum := sha256.New()
	n, err := io.Copy(sum, io.LimitReader(f, content.MaxManifest+1))
	if err != nil || n == 0 {
		return nil, nil // likewise
	}
	place := lrp.Content{ID: ask.ID, SHA256: sum.Sum(nil), Ranges: [][2]uint64{{0, uint64(n)}}} //nolint:gosec // n is positive
	name := url.PathEscape(id.String()) + "/" + content.ManifestName
	var out []lrp.Content
	for _, base := range h.cfg.Mirrors {
		place.URL = strings.TrimSuffix(base, "/") + "/" + name
		out = append(out, place)
	}
	place.URL = "/content/" + name
	return append(out, place), nil
}
