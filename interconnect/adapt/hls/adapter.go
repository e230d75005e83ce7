package hls

import (
	"context"
	"fmt"
	"strings"

	"github.com/lares-drm/lares/interconnect/adapt"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
)

// Adapter translates licenses for HLS. The zero value is ready.
type Adapter struct{}

var _ adapt.Adapter = Adapter{}

// System describes HLS players: they can play, and they enforce nothing.
func (Adapter) System() adapt.System {
	return adapt.System{
		Name: "hls", Version: "RFC 8216", Live: true, Permissions: []permission.Permission{permission.Play},
		Enforces: []string{}, Holds: adapt.Fed(), Keys: "session keys of a link-encrypted stream, made by the trusted module",
	}
}

// Import reads a playlist, to say that it states no rights.
func (Adapter) Import(ctx context.Context, doc []byte) (adapt.Proposal, error) {
	if err := ctx.Err(); err != nil {
		return adapt.Proposal{}, err
	}
	if _, err := ParseKeys(doc); err != nil {
		return adapt.Proposal{}, fmt.Errorf("%w: %w", adapt.ErrDocument, err)
	}
	return adapt.Proposal{}, fmt.Errorf("%w: it is a playlist", adapt.ErrNoRights)
}

// Export writes which keys a session of the license will have: a playlist of
// session keys, each at the place below a session where it is had. It holds no key.
func (a Adapter) Export(ctx context.Context, lic *license.License) (adapt.Artifact, adapt.Loss, error) {
	if err := ctx.Err(); err != nil {
		return adapt.Artifact{}, nil, err
	}
	loss, err := adapt.Feed(lic, a.System())
	if err != nil {
		return adapt.Artifact{}, nil, err
	}
	var b strings.Builder
	b.WriteString("#EXTM3U\n#EXT-X-VERSION:7\n")
	for _, k := range lic.Info().Keys {
		fmt.Fprintf(&b, "#EXT-X-SESSION-KEY:METHOD=%s,URI=\"%s/%s/key\",KEYFORMAT=\"identity\"\n", AES128, AES128.dir(), strings.ToLower(k.Tier.String()))
	}
	return adapt.Artifact{MediaType: MediaType, Body: []byte(b.String())}, append(loss, adapt.Lost{
		Right: "ROBUSTNESS", Effect: adapt.Narrowed, Words: "The player has the session's key in its memory, so it protects less than a secure player.",
	}), nil
}
