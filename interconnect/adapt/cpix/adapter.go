package cpix

import (
	"context"
	"fmt"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/interconnect/adapt"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
)

// MediaType of a document. Source: SPEKE; CPIX registers none.
const MediaType = "application/xml"

// Adapter translates licenses to CPIX. The zero value is ready.
type Adapter struct{}

var _ adapt.Adapter = Adapter{}

// System describes CPIX: a way for keys, which states no rights.
func (Adapter) System() adapt.System {
	return adapt.System{
		Name: "cpix", Version: "CPIX " + Version, Permissions: []permission.Permission{permission.Play},
		Enforces: []string{}, Holds: []string{},
		Keys: "wrapped to the recipients' certificates by who makes the keys; an artifact has none",
	}
}

// Import reads a document, to say that it states no rights.
func (Adapter) Import(ctx context.Context, doc []byte) (adapt.Proposal, error) {
	if err := ctx.Err(); err != nil {
		return adapt.Proposal{}, err
	}
	root, err := readXML(doc)
	if err != nil {
		return adapt.Proposal{}, err
	}
	p := &parser{root: root, doc: &Document{}}
	if !root.is(nsCPIX, "CPIX") {
		return adapt.Proposal{}, fmt.Errorf("%w: the root is not a CPIX element", adapt.ErrDocument)
	}
	err = p.document()
	p.doc.Clear()
	if err != nil {
		return adapt.Proposal{}, err
	}
	return adapt.Proposal{}, fmt.Errorf("%w: it holds keys, or asks for them", adapt.ErrNoRights)
}

// Export writes which keys the license has and what tracks they are for: the
// document that asks a key server for them. CPIX keeps no condition, so only a
// license without any is exported.
func (a Adapter) Export(ctx context.Context, lic *license.License) (adapt.Artifact, adapt.Loss, error) {
	if err := ctx.Err(); err != nil {
		return adapt.Artifact{}, nil, err
	}
	_, loss, err := adapt.Flatten(lic, a.System())
	if err != nil {
		return adapt.Artifact{}, nil, err
	}
	info := lic.Info()
	d := Document{ContentID: info.Content.String()}
	for _, k := range info.Keys {
		d.Keys = append(d.Keys, Key{KID: k.KID})
		d.Rules = append(d.Rules, TierRule(k))
	}
	body, err := d.Write(Options{})
	if err != nil {
		return adapt.Artifact{}, nil, err
	}
	return adapt.Artifact{MediaType: MediaType, Body: body}, append(loss, adapt.Lost{
		Right: "ROBUSTNESS", Effect: adapt.Narrowed, Words: "Whoever gets the keys by this document decides how they are kept.",
	}), nil
}

// TierRule is the usage rule of a key: which pictures its tier has.
func TierRule(k license.KeyRef) Rule {
	r := Rule{KID: k.KID, TrackType: k.Tier.String()}
	switch k.Tier {
	case license.TierAudio:
		r.Audio = []AudioFilter{{}}
	case license.TierSD:
		r.Video = []VideoFilter{{MaxPixels: content.MaxSD}}
	case license.TierHD:
		r.Video = []VideoFilter{{MinPixels: content.MaxSD + 1, MaxPixels: content.MaxHD}}
	case license.TierUHD:
		r.Video = []VideoFilter{{MinPixels: content.MaxHD + 1}}
	default: // a custom tier: by its label
		r.Labels = []string{k.Tier.String()}
	}
	return r
}
