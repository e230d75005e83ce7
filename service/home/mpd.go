package home

import (
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
)

// Names of DASH and of the Clear Key system in it. Source: the DASH-IF content
// protection registry, and docs/spec/clearkey.md.
const (
	schemeMP4      = "urn:mpeg:dash:mp4protection:2011"
	schemeClearKey = "urn:uuid:e2719d58-a985-b3c9-781a-b030af78d30e"
	nsDASH         = "urn:mpeg:dash:schema:mpd:2011"
	nsCENC         = "urn:mpeg:cenc:2013"
	nsDASHIF       = "https://dashif.org/CPS"
	profileLive    = "urn:mpeg:dash:profile:isoff-live:2011"
	schemeSwitch   = "urn:mpeg:dash:adaptation-set-switching:2016"
)

type (
	mpd struct {
		XMLName  xml.Name  `xml:"MPD"`
		NS       string    `xml:"xmlns,attr"`
		CENC     string    `xml:"xmlns:cenc,attr"`
		DASHIF   string    `xml:"xmlns:dashif,attr"`
		Profiles string    `xml:"profiles,attr"`
		Type     string    `xml:"type,attr"`
		Duration string    `xml:"mediaPresentationDuration,attr"`
		Buffer   string    `xml:"minBufferTime,attr"`
		Period   mpdPeriod `xml:"Period"`
	}
	mpdPeriod struct {
		ID   string   `xml:"id,attr"`
		Sets []mpdSet `xml:"AdaptationSet"`
	}
	mpdSet struct {
		ID         string       `xml:"id,attr"`
		Type       string       `xml:"contentType,attr"`
		MIME       string       `xml:"mimeType,attr"`
		Lang       string       `xml:"lang,attr,omitempty"`
		Aligned    bool         `xml:"segmentAlignment,attr,omitempty"`
		StartSAP   int          `xml:"startWithSAP,attr,omitempty"`
		Protection []mpdProtect `xml:"ContentProtection"`
		Switch     *mpdProperty `xml:"SupplementalProperty"`
		Label      string       `xml:"Label,omitempty"`
		Reps       []mpdRep     `xml:"Representation"`
	}
	mpdProtect struct {
		Scheme string `xml:"schemeIdUri,attr"`
		Value  string `xml:"value,attr,omitempty"`
		KID    string `xml:"cenc:default_KID,attr,omitempty"`
		PSSH   string `xml:"cenc:pssh,omitempty"`
		URL    string `xml:"dashif:Laurl,omitempty"`
	}
	mpdProperty struct {
		Scheme string `xml:"schemeIdUri,attr"`
		Value  string `xml:"value,attr"`
	}
	mpdRep struct {
		ID        string       `xml:"id,attr"`
		Bandwidth int64        `xml:"bandwidth,attr"`
		Codecs    string       `xml:"codecs,attr,omitempty"`
		Width     int          `xml:"width,attr,omitempty"`
		Height    int          `xml:"height,attr,omitempty"`
		Rate      int          `xml:"audioSamplingRate,attr,omitempty"`
		BaseURL   string       `xml:"BaseURL,omitempty"` // of a whole file: subtitles
		Template  *mpdTemplate `xml:"SegmentTemplate"`
	}
	mpdTemplate struct {
		Timescale int      `xml:"timescale,attr"`
		Start     int      `xml:"startNumber,attr"`
		Init      string   `xml:"initialization,attr"`
		Media     string   `xml:"media,attr"`
		Timeline  []mpdRun `xml:"SegmentTimeline>S"`
	}
	mpdRun struct {
		T int64 `xml:"t,attr"`
		D int64 `xml:"d,attr"`
	}
)

// Manifest writes the session's DASH manifest: the tracks whose keys the
// session may use, in one adaptation set per key, with Clear Key's license
// address. Addresses are relative to the manifest's.
func (p *Playback) Manifest() ([]byte, error) {
	m := mpd{
		NS: nsDASH, CENC: nsCENC, DASHIF: nsDASHIF, Profiles: profileLive, Type: "static",
		Duration: xmlDuration(p.title.DurationMS), Buffer: "PT2S", Period: mpdPeriod{ID: "0"},
	}
	pssh, err := p.pssh()
	if err != nil {
		return nil, err
	}
	for _, t := range p.tracks {
		m.Period.add(t, p.title.Scheme.String(), pssh, "/play/"+p.ID+"/license")
	}
	m.Period.join()
	for _, s := range p.title.Subtitles {
		m.Period.Sets = append(m.Period.Sets, mpdSet{
			ID: strconv.Itoa(len(m.Period.Sets) + 1), Type: "text", MIME: "text/vtt", Lang: s.Language, Label: s.Label,
			Reps: []mpdRep{{ID: s.Name, Bandwidth: 256, BaseURL: "/content/" + url.PathEscape(p.Content.String()) + "/" + s.Name}},
		})
	}
	body, err := xml.MarshalIndent(m, "", " ")
	if err != nil {
		return nil, fmt.Errorf("write the manifest: %w", err)
	}
	return append([]byte(xml.Header), body...), nil
}

// pssh names all keys of the session, so that a player asks for those that come later
// in a title whose keys rotate too.
func (p *Playback) pssh() (string, error) {
	box := cenc.PSSH{Version: 1, System: cenc.CommonSystem()}
	for _, k := range p.keys {
		box.KIDs = append(box.KIDs, k.KID)
	}
	b, err := box.Encode()
	return base64.StdEncoding.EncodeToString(b), err
}

// add puts a track into the adaptation set of its kind, language and key.
func (p *mpdPeriod) add(t *linkTrack, scheme, pssh, license string) {
	kid := t.KID.String()
	rep := mpdRep{
		ID: t.Name, Bandwidth: t.Bandwidth, Codecs: t.Codecs, Width: t.Width, Height: t.Height, Rate: t.Rate,
		Template: &mpdTemplate{Timescale: 1000, Init: t.Name + "/init", Media: t.Name + "/$Number$", Timeline: timeline(t.Segments)},
	}
	for i := range p.Sets {
		s := &p.Sets[i]
		if s.Type == t.Kind && s.Lang == t.Language && s.Protection[0].KID == kid {
			s.Reps = append(s.Reps, rep)
			return
		}
	}
	p.Sets = append(p.Sets, mpdSet{
		ID: strconv.Itoa(len(p.Sets) + 1), Type: t.Kind, MIME: t.Kind + "/mp4", Lang: t.Language, Aligned: true, StartSAP: 1,
		Protection: []mpdProtect{
			{Scheme: schemeMP4, Value: scheme, KID: kid},
			{Scheme: "urn:uuid:" + cenc.CommonSystem().String(), PSSH: pssh},
			{Scheme: schemeClearKey, Value: "ClearKey1.0", URL: license},
		},
		Reps: []mpdRep{rep},
	})
}

// join tells players that they may switch between the sets of one kind and
// language, which differ only by key.
func (p *mpdPeriod) join() {
	for i := range p.Sets {
		var others []string
		for k := range p.Sets {
			if k != i && p.Sets[k].Type == p.Sets[i].Type && p.Sets[k].Lang == p.Sets[i].Lang {
				others = append(others, p.Sets[k].ID)
			}
		}
		if len(others) > 0 {
			p.Sets[i].Switch = &mpdProperty{Scheme: schemeSwitch, Value: strings.Join(others, ",")}
		}
	}
}

// timeline lists segments without gaps: each lasts until the next begins.
func timeline(segments []content.Segment) []mpdRun {
	out := make([]mpdRun, len(segments))
	for i, s := range segments {
		out[i] = mpdRun{T: s.StartMS, D: s.DurationMS}
		if i > 0 {
			out[i-1].D = s.StartMS - segments[i-1].StartMS
		}
	}
	return out
}

// xmlDuration prints milliseconds as an XML Schema duration.
func xmlDuration(ms int64) string {
	return "PT" + strconv.FormatFloat((time.Duration(ms)*time.Millisecond).Seconds(), 'f', 3, 64) + "S"
}
