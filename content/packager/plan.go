package packager

import (
	"errors"
	"fmt"

	"github.com/lares-drm/lares/content"
)

// What a folder takes besides its samples, in bytes. Source: local; a sample has its
// place in trun, its vector and its parts in senc and saiz, a fragment its boxes and its
// lines in the manifest, the playlists and content.json.
const (
	perSample   = 64
	perFragment = 2 << 10
	perFolder   = 1 << 20
)

// Plan is what Pack would make.
type Plan struct {
	Tiers []content.Tier // each with a key of its own
	Bytes int64          // that the folder takes, about: more than it will, where samples have at most 6 parts
}

// Examine reads what the inputs say of themselves, and fails with ErrInput where Pack
// would because of it: a codec that is not packed, a file that is protected already,
// keyframes so far apart that a fragment is too long. It writes nothing and reads no
// sample, so that Pack may still find one that is damaged.
func Examine(cfg Config) (plan Plan, err error) {
	p, err := read(cfg)
	if err != nil {
		return Plan{}, err
	}
	defer func() { err = errors.Join(err, p.close(false)) }()
	defer gaveUp(&err)
	if err := p.choose(); err != nil {
		return Plan{}, err
	}
	plan = Plan{Tiers: p.order, Bytes: perFolder}
	for _, o := range p.tracks {
		if _, _, _, err := p.head(o); err != nil {
			return Plan{}, fmt.Errorf("%s: %s track: %w", o.src.name, o.kind, err)
		}
		bounds := p.fragments(o)
		for n := 1; n < len(bounds); n++ {
			size, err := o.size(bounds[n-1], bounds[n])
			if err != nil {
				return Plan{}, fmt.Errorf("%s: %s track: fragment %d: %w", o.src.name, o.kind, n, err)
			}
			plan.Bytes += size + perFragment + int64(bounds[n]-bounds[n-1])*perSample
		}
	}
	return plan, nil
}
