package cpix

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
)

// fits reports whether a rule's filters are as its track type says: ALL has one
// of each kind, without limits; any other has as many filters as it has parts,
// joined by '+'. Source: SPEKE API v2, encryption contract.
func (r *Rule) fits() bool {
	if len(r.Labels) > 0 || r.TrackType == "" {
		return false
	}
	if r.TrackType == "ALL" {
		return len(r.Video) == 1 && len(r.Audio) == 1 && r.Video[0] == (VideoFilter{}) && r.Audio[0] == (AudioFilter{})
	}
	for part := range strings.SplitSeq(r.TrackType, "+") {
		if part == "" || part == "ALL" {
			return false
		}
	}
	for _, f := range r.Video {
		if f.MaxPixels != 0 && f.MinPixels > f.MaxPixels || f.MaxFPS != 0 && f.MinFPS > f.MaxFPS {
			return false
		}
	}
	for _, f := range r.Audio {
		if f.MaxChannels != 0 && f.MinChannels > f.MaxChannels {
			return false
		}
	}
	return len(r.Video)+len(r.Audio) == strings.Count(r.TrackType, "+")+1
}

// Tier is the best tier that a key may protect, by its usage rules; false where
// none says what pictures or sound it is for.
func (d *Document) Tier(kid ident.Key) (best content.Tier, ok bool) {
	for i := range d.Rules {
		if r := &d.Rules[i]; r.KID == kid && len(r.Video)+len(r.Audio) > 0 {
			best, ok = max(best, r.tier()), true
		}
	}
	return best, ok
}

// tier is the best tier that a key may protect: a picture without a limit may be
// of any size.
func (r *Rule) tier() content.Tier {
	best := content.Audio
	for _, f := range r.Video {
		switch {
		case f.MaxPixels == 0 || f.MaxPixels > content.MaxHD:
			best = max(best, content.UHD)
		case f.MaxPixels > mostSPEKESD:
			best = max(best, content.HD)
		default:
			best = max(best, content.SD)
		}
	}
	return best
}

// mostSPEKESD is the most pixels of what SPEKE's presets call SD: 1024 × 576.
// Source: SPEKE v2 presets.
const mostSPEKESD = 589_824

// Signaling fills in what is asked for of the systems that Lares itself has: the
// W3C common pssh and Clear Key. It offers no signaling for HLS and no other
// system: those are an operator's to give.
func Signaling(s System) (System, bool) {
	if s.System != cenc.CommonSystem() && s.System != cenc.ClearKeySystem() || s.HLSMedia != nil || s.HLSMaster != nil || s.SmoothStreaming != nil {
		return s, false
	}
	box := cenc.PSSH{Version: 1, System: s.System, KIDs: []ident.Key{s.KID}}
	raw, err := box.Encode()
	if err != nil {
		return s, false
	}
	if s.PSSH != nil {
		s.PSSH = raw
	}
	if s.ContentProtection != nil {
		s.ContentProtection = fmt.Appendf(nil, `<ContentProtection xmlns="urn:mpeg:dash:schema:mpd:2011" xmlns:cenc="urn:mpeg:cenc:2013" schemeIdUri="urn:uuid:%s"><cenc:pssh>%s</cenc:pssh></ContentProtection>`,
			s.System, base64.StdEncoding.EncodeToString(raw))
	}
	return s, true
}
