package packager

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
)

// tierKeys are the keys of a tier, one after the other in time.
type tierKeys struct {
	periods []*key
	aes     *key // of segments under AES-128; nil without them
	bps     uint64
}

// key is one content key and the next vector that was not used under it.
type key struct {
	kid   ident.Key
	key   cenc.ContentKey
	iv    uint64 // cenc: counted on over all tracks of the tier
	later bool   // not the one that tenc names
}

// next is a vector of cenc that was not used under this key before.
func (k *key) next() []byte {
	iv := binary.BigEndian.AppendUint64(nil, k.iv)
	k.iv++
	return iv
}

// all are the keys of a tier: one after the other, then that of AES-128.
func (t *tierKeys) all() []*key {
	if t.aes == nil {
		return t.periods
	}
	return append(slices.Clone(t.periods), t.aes)
}

// makeKeys makes a key for each tier, and each of its periods.
func (p *packer) makeKeys() error {
	n := 1
	for _, o := range p.tracks {
		bounds := p.fragments(o)
		n = max(n, p.period(o.ms(o.samples[bounds[len(bounds)-2]].dts))+1)
	}
	for _, o := range p.tracks {
		if !slices.Contains(p.order, o.tier) {
			p.order = append(p.order, o.tier)
		}
	}
	all := n * len(p.order)
	if p.cfg.AES128 {
		all += len(p.order)
	}
	if all > license.MaxKeys {
		return fmt.Errorf("%w: %d keys (%d tiers, %d times), and a license has at most %d: rotate less often", ErrInput, all, len(p.order), n, license.MaxKeys)
	}
	for _, t := range p.order {
		p.keys[t] = &tierKeys{}
		for i := range n {
			k, err := p.makeKey(t, i)
			if err != nil {
				return err
			}
			k.later = i > 0
			p.keys[t].periods = append(p.keys[t].periods, k)
		}
		if p.cfg.AES128 {
			k, err := p.makeKey(t, n)
			if err != nil {
				return err
			}
			p.keys[t].aes = k
		}
	}
	return nil
}

// makeKey makes key n of a tier.
func (p *packer) makeKey(t content.Tier, n int) (*key, error) {
	iv, err := p.derive(8, fmt.Sprintf("iv/%v/%d", t, n))
	if err != nil {
		return nil, err
	}
	k := &key{iv: binary.BigEndian.Uint64(iv)}
	if p.journal != nil {
		k.kid, k.key, err = p.derivedKey(t, n)
	} else {
		k.kid, k.key, err = p.cfg.Keys(t)
	}
	if err != nil {
		return nil, fmt.Errorf("key of tier %v: %w", t, err)
	}
	return k, nil
}

// keyAt is the key of a fragment that begins at a time; nil in the clear lead.
func (p *packer) keyAt(t content.Tier, ms int64) *key {
	if ms < int64(p.cfg.ClearLeadMS) {
		return nil
	}
	return p.keys[t].periods[p.period(ms)]
}

func (p *packer) period(ms int64) int {
	if p.cfg.RotateMS == 0 {
		return 0
	}
	return int(ms / int64(p.cfg.RotateMS))
}

// kids lists the key IDs of all tiers and periods.
func (p *packer) kids() []ident.Key {
	var out []ident.Key
	for _, t := range p.order {
		for _, k := range p.keys[t].periods {
			out = append(out, k.kid)
		}
	}
	return out
}

func (p *packer) delivery() content.Delivery {
	d := content.Delivery{Content: p.cfg.Content, DurationMS: uint64(p.manifest.DurationMS)} //nolint:gosec // positive
	for _, t := range p.order {
		for _, k := range p.keys[t].all() {
			d.Keys = append(d.Keys, content.TierKey{KID: k.kid, Tier: t, Key: k.key, BPS: p.keys[t].bps})
		}
	}
	return d
}
