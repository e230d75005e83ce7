package packager

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/Eyevinn/mp4ff/mp4"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
)

// MaxSystems is how many other DRM systems a film is signaled for. Source: local,
// docs/spec/content.md.
const MaxSystems = 8

// checkSystems refuses what is not to be written for others: the two systems that the
// packager writes by itself, and one system twice.
func checkSystems(list []cenc.PSSH) error {
	if len(list) > MaxSystems {
		return fmt.Errorf("packager: %d pssh boxes of other systems: at most %d", len(list), MaxSystems)
	}
	seen := map[cenc.SystemID]bool{cenc.CommonSystem(): true, cenc.ClearKeySystem(): true}
	for i := range list {
		if _, err := list[i].Encode(); err != nil {
			return fmt.Errorf("packager: pssh box of another system: %w", err)
		}
		if seen[list[i].System] {
			return errors.New("packager: a pssh box for a system that has one already: " + list[i].System.String())
		}
		seen[list[i].System] = true
	}
	return nil
}

// addSystems puts the boxes of other systems into an init segment.
func (p *packer) addSystems(moov *mp4.MoovBox) {
	for _, s := range p.cfg.Systems {
		box := &mp4.PsshBox{Version: s.Version, SystemID: uuid(ident.Key(s.System)), Data: s.Data}
		for _, kid := range s.KIDs {
			box.KIDs = append(box.KIDs, uuid(kid))
		}
		moov.AddChild(box)
	}
}

// mpdSystems are the descriptors of other systems in the manifest.
func (p *packer) mpdSystems() (out []protectionXML, err error) {
	for i := range p.cfg.Systems {
		s := &p.cfg.Systems[i]
		box, err := s.Encode()
		if err != nil {
			return nil, err
		}
		out = append(out, protectionXML{Scheme: "urn:uuid:" + s.System.String(), Value: cmp.Or(s.System.Name(), "other"), PSSH: base64.StdEncoding.EncodeToString(box)})
	}
	return out, nil
}
