package issuer

import (
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
)

// DefaultSilence is how long an issuer is silent before the sunset of a license
// comes whose terms say nothing of it, in ms: two years. Source: local,
// docs/spec/sunset.md.
const DefaultSilence = 730 * 86_400_000

// sunsetTerms is what terms say of the end of the service.
type sunsetTerms struct {
	mode    uint64 // 1, 2; none is 3, as it is said
	silence int64  // ms; 0 = DefaultSilence
	free    int64  // Unix ms; 0 = by no date alone
}

const sunsetNone = 3

// statement reads SUNSET, SILENCE and FREE_AFTER.
func (s *sunsetTerms) statement(key, value string) (mine bool, err error) {
	switch key {
	case "SUNSET":
		s.mode, err = oneOf(value, "rebind", "release", "none")
	case "SILENCE":
		s.silence, err = duration(value)
	case "FREE_AFTER":
		s.free, err = moment(value)
	default:
		return false, nil
	}
	return true, err
}

// sunset is field 13 of a license of these terms: what they say, else a re-binding
// for what is for ever, else nothing. key is the issuer's notice key; without one
// nothing is promised.
func (t *terms) sunset(kind Kind, key []byte) (*license.Sunset, error) {
	said := t.end
	forEver := (kind == Purchase || kind == Gift) && len(key) > 0
	switch {
	case said.mode == sunsetNone && said.silence == 0 && said.free == 0, said == (sunsetTerms{}) && !forEver:
		return nil, nil //nolint:nilnil // there is none
	case said.mode == sunsetNone, said.mode == 0 && said != (sunsetTerms{}):
		return nil, fmt.Errorf("%w: SILENCE and FREE_AFTER belong to SUNSET=rebind or SUNSET=release", ErrTerms)
	case len(key) == 0:
		return nil, fmt.Errorf("%w: this issuer has no notice key, so it can promise no SUNSET", ErrTerms)
	}
	out := &license.Sunset{Mode: max(said.mode, license.SunsetRebind), SilenceMS: said.silence, NoticeKey: key, FreeAfter: said.free}
	if out.SilenceMS == 0 {
		out.SilenceMS = DefaultSilence
	}
	return out, nil
}

// SunsetOf is what becomes of a license of an offer when this issuer is gone; nil
// where it says nothing.
func (i *Issuer) SunsetOf(o *Offer) (*license.Sunset, error) { return SunsetOf(o, i.cfg.NoticeKey) }

// SunsetOf is the same by an issuer's notice key.
func SunsetOf(o *Offer, key []byte) (*license.Sunset, error) {
	t, err := parseTerms(o.Terms)
	if err != nil {
		return nil, err
	}
	return t.sunset(o.Kind, key)
}

// encodePolicy is what the store keeps of field 8, and of field 13 where a license
// has one: then an array of the two.
func encodePolicy(p license.Policy, s *license.Sunset) ([]byte, error) {
	if s == nil {
		return wire.Marshal(p)
	}
	return wire.Marshal([]any{p, s})
}

func decodePolicy(data []byte) (p license.Policy, s *license.Sunset, err error) {
	lim := wire.Limit{Bytes: 4096, Items: 64, Depth: 5}
	if len(data) == 0 || data[0] != 0x82 {
		return p, nil, wire.Unmarshal(data, &p, wire.Limit{Bytes: 2048, Depth: 4})
	}
	items, err := wire.Array(data, 2, 2, lim)
	if err != nil {
		return p, nil, err
	}
	s = new(license.Sunset)
	if err := wire.Unmarshal(items[0], &p, wire.Limit{Bytes: 2048, Depth: 4}); err != nil {
		return p, nil, err
	}
	return p, s, wire.Unmarshal(items[1], s, wire.Limit{Bytes: 512, Depth: 2})
}
