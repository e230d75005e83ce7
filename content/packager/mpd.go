package packager

import (
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
)

// Names in a manifest. Sources: ISO/IEC 23009-1 and 23001-7, DASH-IF IOP, W3C.
const (
	mpdNS         = "urn:mpeg:dash:schema:mpd:2011"
	cencNS        = "urn:mpeg:cenc:2013"
	dashifNS      = "https://dashif.org/CPS"
	clearKeyNS    = "http://dashif.org/guidelines/clearKey"
	profileURN    = "urn:mpeg:dash:profile:isoff-live:2011"
	protectionURN = "urn:mpeg:dash:mp4protection:2011"
	switchingURN  = "urn:mpeg:dash:adaptation-set-switching:2016"
	roleURN       = "urn:mpeg:dash:role:2011"
	channelsURN   = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011"
	laurlType     = "EME-1.0"
)

// The elements of a manifest that this package writes, in the schema's order.
type (
	mpdXML struct {
		XMLName   xml.Name `xml:"MPD"`
		NS        string   `xml:"xmlns,attr"`
		CencNS    string   `xml:"xmlns:cenc,attr"`
		DashifNS  string   `xml:"xmlns:dashif,attr"`
		CkNS      string   `xml:"xmlns:ck,attr"`
		Profiles  string   `xml:"profiles,attr"`
		Type      string   `xml:"type,attr"`
		Duration  string   `xml:"mediaPresentationDuration,attr"`
		MinBuffer string   `xml:"minBufferTime,attr"`
		Title     string   `xml:"ProgramInformation>Title"`
		Period    struct {
			ID   string   `xml:"id,attr"`
			Sets []setXML `xml:"AdaptationSet"`
		}
	}
	setXML struct {
		ID          int             `xml:"id,attr"`
		ContentType string          `xml:"contentType,attr"`
		MimeType    string          `xml:"mimeType,attr"`
		Lang        string          `xml:"lang,attr,omitempty"`
		Aligned     bool            `xml:"segmentAlignment,attr,omitempty"`
		SAP         int             `xml:"startWithSAP,attr,omitempty"`
		Protection  []protectionXML `xml:"ContentProtection"`
		Switching   *descriptorXML  `xml:"SupplementalProperty"`
		Label       string          `xml:"Label,omitempty"`
		Role        descriptorXML   `xml:"Role"`
		Tracks      []trackXML      `xml:"Representation"`
	}
	descriptorXML struct {
		Scheme string `xml:"schemeIdUri,attr"`
		Value  string `xml:"value,attr"`
	}
	protectionXML struct {
		Scheme string    `xml:"schemeIdUri,attr"`
		Value  string    `xml:"value,attr,omitempty"`
		KID    string    `xml:"cenc:default_KID,attr,omitempty"`
		PSSH   string    `xml:"cenc:pssh,omitempty"`
		Laurl  *laurlXML `xml:"dashif:Laurl"`
		CkURL  *ckURLXML `xml:"ck:Laurl"` // the older name of the same
	}
	laurlXML struct {
		Type string `xml:"licenseType,attr"`
		URL  string `xml:",chardata"`
	}
	ckURLXML struct {
		Type string `xml:"Lic_type,attr"`
		URL  string `xml:",chardata"`
	}
	trackXML struct {
		ID        string         `xml:"id,attr"`
		Bandwidth int64          `xml:"bandwidth,attr"`
		Codecs    string         `xml:"codecs,attr,omitempty"`
		Width     int            `xml:"width,attr,omitempty"`
		Height    int            `xml:"height,attr,omitempty"`
		Rate      int            `xml:"audioSamplingRate,attr,omitempty"`
		Channels  *descriptorXML `xml:"AudioChannelConfiguration"`
		BaseURL   string         `xml:"BaseURL,omitempty"` // of a whole file: subtitles
		Template  *templateXML   `xml:"SegmentTemplate"`
	}
	templateXML struct {
		Timescale uint32    `xml:"timescale,attr"`
		Init      string    `xml:"initialization,attr"`
		Media     string    `xml:"media,attr"`
		Start     int       `xml:"startNumber,attr"`
		Timeline  []stepXML `xml:"SegmentTimeline>S"`
	}
	stepXML struct {
		T *uint64 `xml:"t,attr"`
		D uint64  `xml:"d,attr"`
		R int     `xml:"r,attr,omitempty"`
	}
)

// mpd makes the DASH manifest: one AdaptationSet for each key, the video ones
// joined for switching.
func (p *packer) mpd() ([]byte, error) {
	m := mpdXML{
		NS: mpdNS, CencNS: cencNS, DashifNS: dashifNS, CkNS: clearKeyNS, Profiles: profileURN, Type: "static",
		Duration: duration(p.manifest.DurationMS), MinBuffer: "PT2S", Title: p.cfg.Title,
	}
	m.Period.ID = "0"
	for i, t := range p.order {
		set, err := p.adaptationSet(t)
		if err != nil {
			return nil, err
		}
		set.ID = i
		var others []string
		for k, o := range p.order {
			if k != i && o != content.Audio && t != content.Audio {
				others = append(others, strconv.Itoa(k))
			}
		}
		if len(others) > 0 {
			set.Switching = &descriptorXML{switchingURN, strings.Join(others, ",")}
		}
		m.Period.Sets = append(m.Period.Sets, *set)
	}
	for _, s := range p.manifest.Subtitles {
		m.Period.Sets = append(m.Period.Sets, setXML{
			ID: len(m.Period.Sets), ContentType: "text", MimeType: "text/vtt", Lang: s.Language, Label: s.Label, Role: descriptorXML{roleURN, "subtitle"},
			Tracks: []trackXML{{ID: strings.TrimSuffix(path.Base(s.Name), ".vtt") + "-text", Bandwidth: 256, BaseURL: s.Name}},
		})
	}
	b, err := xml.MarshalIndent(m, "", " ")
	if err != nil {
		return nil, fmt.Errorf("write manifest: %w", err)
	}
	return []byte(xml.Header + string(b) + "\n"), nil
}

// duration is an xs:duration in seconds, to the millisecond.
func duration(ms int64) string { return fmt.Sprintf("PT%d.%03dS", ms/1000, ms%1000) }

func (p *packer) adaptationSet(t content.Tier) (*setXML, error) {
	kind := "video"
	if t == content.Audio {
		kind = "audio"
	}
	set := &setXML{ContentType: kind, MimeType: kind + "/mp4", Aligned: true, SAP: 1, Role: descriptorXML{roleURN, "main"}}
	protection, err := p.mpdProtection(p.keys[t].periods[0].kid)
	if err != nil {
		return nil, err
	}
	set.Protection = protection
	for i, o := range p.tracks {
		if o.tier == t {
			f := &p.manifest.Tracks[i]
			set.Lang = f.Language
			set.Tracks = append(set.Tracks, o.representation(f, p.fragments(o)))
		}
	}
	return set, nil
}

// mpdProtection says how one key's content is protected: common encryption, the
// common pssh with all key IDs, Clear Key with its server, and what was given of
// other systems.
func (p *packer) mpdProtection(kid ident.Key) ([]protectionXML, error) {
	box := cenc.PSSH{Version: 1, System: cenc.CommonSystem(), KIDs: p.kids()}
	pssh, err := box.Encode()
	if err != nil {
		return nil, err
	}
	others, err := p.mpdSystems()
	if err != nil {
		return nil, err
	}
	return append([]protectionXML{
		{Scheme: protectionURN, Value: p.cfg.Scheme.String(), KID: kid.String()},
		{ // before the common system, which shaka-player takes for Clear Key without a server
			Scheme: "urn:uuid:" + cenc.ClearKeySystem().String(), Value: "ClearKey1.0", PSSH: base64.StdEncoding.EncodeToString(pssh),
			Laurl: &laurlXML{laurlType, p.cfg.LicenseURL}, CkURL: &ckURLXML{laurlType, p.cfg.LicenseURL},
		},
		{Scheme: "urn:uuid:" + cenc.CommonSystem().String(), PSSH: base64.StdEncoding.EncodeToString(pssh)},
	}, others...), nil
}

// representation lists the fragments of a track with their exact times.
func (o *output) representation(f *content.TrackFiles, bounds []int) trackXML {
	r := trackXML{ID: f.Name, Bandwidth: f.Bandwidth, Codecs: f.Codecs, Width: f.Width, Height: f.Height, Rate: f.Rate}
	if f.Kind == "audio" {
		r.Channels = &descriptorXML{channelsURN, strconv.Itoa(o.channels)}
	}
	r.Template = &templateXML{Timescale: o.timescale, Start: 1, Init: o.name + "/init.mp4", Media: o.name + "/$Number$.m4s"}
	var list []stepXML
	for n := 1; n < len(bounds); n++ {
		first, last := o.samples[bounds[n-1]], o.samples[bounds[n]-1]
		d := last.dts + uint64(last.dur) - first.dts
		if n > 1 && list[len(list)-1].D == d {
			list[len(list)-1].R++
			continue
		}
		s := stepXML{D: d}
		if n == 1 {
			s.T = &first.dts
		}
		list = append(list, s)
	}
	r.Template.Timeline = list
	return r
}
