package scenario

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
)

// The types of this file are the JSON of docs/spec/scenario.md, in its order.

type vector struct {
	Title    string     `json:"title"`
	Shows    []string   `json:"shows"`
	Licenses []vLicense `json:"licenses"`
	Steps    []*vStep   `json:"steps"`
}

type vLicense struct {
	Name    string `json:"name"`
	License string `json:"license"`
}

type vStep struct {
	Line       int       `json:"line"`
	Text       string    `json:"text"`
	At         int64     `json:"at"`
	Do         string    `json:"do"`
	License    string    `json:"license"`
	Clock      *vClock   `json:"clock,omitempty"`
	Env        *vEnv     `json:"env,omitempty"`
	Request    *vRequest `json:"request,omitempty"`
	Tracks     []vTrack  `json:"tracks,omitempty"`
	From       *int64    `json:"from,omitempty"`
	Fragments  int64     `json:"fragments,omitempty"`
	FragmentMS int64     `json:"fragment_ms,omitempty"`
	WallMS     *int64    `json:"wall_ms,omitempty"`
	Action     string    `json:"action,omitempty"`
	Now        *int64    `json:"now,omitempty"`
	Share      *vShare   `json:"share,omitempty"`
	Old        string    `json:"from_license,omitempty"`
	Derive     *vDerive  `json:"derive,omitempty"`
	As         *string   `json:"as,omitempty"`
	Chain      []string  `json:"chain,omitempty"`
	Among      []string  `json:"among,omitempty"`
	Inputs     []vInput  `json:"inputs,omitempty"`
	Expect     vExpect   `json:"expect"`
}

type vTrack struct {
	KID   string `json:"kid"`
	Bytes int64  `json:"bytes"`
}

type vShare struct {
	Plays  uint64 `json:"plays"`
	MS     int64  `json:"ms"`
	Copies uint64 `json:"copies"`
}

type vDerive struct {
	Kind    uint64   `json:"kind"`
	Device  string   `json:"device"`
	Subject string   `json:"subject"`
	Share   vShare   `json:"share"`
	Index   uint64   `json:"index"`
	Now     int64    `json:"now"`
	For     int64    `json:"for"`
	System  string   `json:"system"`
	Holds   []string `json:"holds"`
}

type vInput struct {
	License string   `json:"license"`
	Keys    []string `json:"keys"`
	LoIss   int64    `json:"lo_iss"`
}

type vExpect struct {
	Decision *vDecision `json:"decision"`
	State    string     `json:"state"`
	Failed   bool       `json:"failed"`
	Watched  *int64     `json:"watched,omitempty"`
	Choice   *string    `json:"choice,omitempty"`
	Child    *string    `json:"child,omitempty"`
	Lost     *[]string  `json:"lost,omitempty"`
}

type vClock struct {
	Lo       int64 `json:"lo"`
	Est      int64 `json:"est"`
	Q        uint8 `json:"q"`
	Unsynced int64 `json:"unsynced"`
	Behind   bool  `json:"behind"`
	LoIss    int64 `json:"lo_iss"`
	Relayed  uint8 `json:"relayed"`
}

type vEnv struct {
	Accepted         bool      `json:"accepted"`
	AcceptedEpoch    uint64    `json:"accepted_epoch"`
	CompromisedEpoch uint64    `json:"compromised_epoch"`
	Device           string    `json:"device"`
	Domains          []vMember `json:"domains"`
	Users            []string  `json:"users"`
	Keys             []string  `json:"keys"`
	Revoked          []string  `json:"revoked"`
	RevEpoch         uint64    `json:"rev_epoch"`
	StatusAge        int64     `json:"status_age"`
	Level            uint8     `json:"level"`
	Anchor           uint8     `json:"anchor"`
	Outputs          []vOutput `json:"outputs"`
	Region           vRegion   `json:"region"`
	Slots            []vSlot   `json:"slots"`
	Offline          bool      `json:"offline"`
	SunsetAt         int64     `json:"sunset_at"`
	Grace            []vGrace  `json:"grace"`
}

type vMember struct {
	Domain     string `json:"domain"`
	Generation uint64 `json:"generation"`
	NotAfter   int64  `json:"not_after"`
	Removed    bool   `json:"removed"`
}

type vOutput struct {
	Class      license.OutputClass `json:"class"`
	Protection uint8               `json:"protection"`
	Evidence   uint64              `json:"evidence"`
	Plugged    int64               `json:"plugged"`
}

type vRegion struct {
	Country string `json:"country"`
	Source  uint8  `json:"source"`
	At      int64  `json:"at"`
}

type vSlot struct {
	Device string `json:"device"`
	Since  int64  `json:"since"`
	Seen   int64  `json:"seen"`
	Taken  bool   `json:"taken"`
}

type vGrace struct {
	Charge uint8 `json:"charge"`
	MS     int64 `json:"ms"`
}

type vRequest struct {
	Action        string       `json:"action"`
	Tier          license.Tier `json:"tier"`
	KID           string       `json:"kid"`
	Output        vOutput      `json:"output"`
	Part          string       `json:"part"`
	FPS           uint64       `json:"fps"`
	Confirm       bool         `json:"confirm"`
	Consent       bool         `json:"consent"`
	Overlay       bool         `json:"overlay"`
	Takeover      bool         `json:"takeover"`
	From          int64        `json:"from"`
	Again         bool         `json:"again"`
	Form          uint8        `json:"form"`
	For           int64        `json:"for"`
	Countersigned uint64       `json:"countersigned"`
	Dest          *vDest       `json:"dest"`
	Person        *vPerson     `json:"person,omitempty"`
}

type vPerson struct {
	Age     uint8 `json:"age"`
	Rated   uint8 `json:"rated"`
	From    int64 `json:"from"`
	Until   int64 `json:"until"`
	Handles bool  `json:"handles"`
}

type vDest struct {
	Device   string `json:"device"`
	Domain   string `json:"domain"`
	Level    uint8  `json:"level"`
	Anchor   uint8  `json:"anchor"`
	Country  string `json:"country"`
	Renderer string `json:"renderer"`
	System   string `json:"system"`
	Clear    bool   `json:"clear"`
}

type vDecision struct {
	Allow       bool                  `json:"allow"`
	Tier        license.Tier          `json:"tier"`
	KIDs        []string              `json:"kids"`
	ValidUntil  int64                 `json:"valid_until"`
	Next        []license.Change      `json:"next"`
	Reasons     []vReason             `json:"reasons"`
	Confirm     []vConfirm            `json:"confirm"`
	Notes       []string              `json:"notes"`
	WouldUnlock []license.Tier        `json:"would_unlock"`
	Blocked     []license.OutputClass `json:"blocked"`
	Counters    vCounters             `json:"counters"`
}

type vReason struct {
	Code       license.Code   `json:"code"`
	Constraint string         `json:"constraint"`
	Closed     bool           `json:"closed"`
	Earliest   int64          `json:"earliest"`
	Remedy     license.Remedy `json:"remedy"`
}

type vConfirm struct {
	Kind  license.ConfirmKind `json:"kind"`
	Until int64               `json:"until"`
	What  string              `json:"what"`
	To    string              `json:"to"`
}

type vCounters struct {
	PlaysLeft  *uint64 `json:"plays_left"`
	MSLeft     *int64  `json:"ms_left"`
	CopiesLeft *uint64 `json:"copies_left"`
}

// encode writes the vector: one license and one step a line, so that a change
// of one step is a change of one line.
func (v *vector) encode() ([]byte, error) {
	var out bytes.Buffer
	put := func(x any) error {
		enc := json.NewEncoder(&out)
		enc.SetEscapeHTML(false)
		err := enc.Encode(x)
		out.Truncate(max(out.Len()-1, 0)) // the newline of Encode
		return err
	}
	out.WriteString("{\"title\": ")
	if err := put(v.Title); err != nil {
		return nil, err
	}
	out.WriteString(",\n\"shows\": ")
	if err := put(orEmpty(v.Shows)); err != nil {
		return nil, err
	}
	out.WriteString(",\n\"licenses\": [\n")
	for i, l := range v.Licenses {
		if i > 0 {
			out.WriteString(",\n")
		}
		if err := put(l); err != nil {
			return nil, err
		}
	}
	out.WriteString("],\n\"steps\": [\n")
	for i, s := range v.Steps {
		if i > 0 {
			out.WriteString(",\n")
		}
		if err := put(s); err != nil {
			return nil, err
		}
	}
	out.WriteString("]}\n")
	return out.Bytes(), nil
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// each maps a list; the result is never nil.
func each[T, U any](in []T, f func(T) U) []U {
	out := make([]U, 0, len(in))
	for _, x := range in {
		out = append(out, f(x))
	}
	return out
}

// hexID prints an ID, "" when it is zero.
func hexID[T ~[ident.Size]byte](id T) string {
	b := [ident.Size]byte(id)
	if b == [ident.Size]byte{} {
		return ""
	}
	return hex.EncodeToString(b[:])
}

func hexKey(id ident.Key) string { return hexID(id) }

func ofClock(c license.Clock) *vClock {
	return &vClock{c.Lo, c.Est, uint8(c.Q), c.Unsynced, c.Behind, c.LoIss, c.Relayed}
}

func ofOutput(o license.Output) vOutput {
	return vOutput{o.Class, uint8(o.Protection), uint64(o.Evidence), o.Plugged}
}

func ofEnv(e *license.Env) *vEnv {
	out := &vEnv{
		Accepted: e.Accepted, AcceptedEpoch: e.AcceptedEpoch, CompromisedEpoch: e.CompromisedEpoch, Device: hexID(e.Device),
		Domains: each(e.Domains, func(m license.Membership) vMember {
			return vMember{hexID(m.Domain), m.Generation, m.NotAfter, m.Removed}
		}),
		Users: each(e.Users, hexID), Keys: each(e.Keys, hexKey), Revoked: orEmpty(e.Revoked), RevEpoch: e.RevEpoch, StatusAge: e.StatusAge,
		Level: e.Level, Anchor: e.Anchor, Outputs: each(e.Outputs, ofOutput),
		Region:  vRegion{e.Region.Country, uint8(e.Region.Source), e.Region.At},
		Slots:   each(e.Slots, func(s license.Slot) vSlot { return vSlot{hexID(s.Device), s.Since, s.Seen, s.Taken} }),
		Offline: e.Offline, SunsetAt: e.SunsetAt, Grace: []vGrace{},
	}
	for _, c := range slices.Sorted(maps.Keys(e.Grace)) {
		out.Grace = append(out.Grace, vGrace{uint8(c), e.Grace[c]})
	}
	return out
}

func ofRequest(q *license.Request) *vRequest {
	out := &vRequest{
		Action: q.Action.String(), Tier: q.Tier, KID: hexKey(q.KID), Output: ofOutput(q.Output), Part: hex.EncodeToString(q.Part), FPS: q.FPS,
		Confirm: q.Confirm, Consent: q.Consent, Overlay: q.Overlay, Takeover: q.Takeover, From: q.From, Again: q.Again,
		Form: uint8(q.Form), For: q.For, Countersigned: uint64(q.Countersigned),
	}
	if p := q.Person; p != nil {
		out.Person = &vPerson{p.Age, p.Rated, p.From, p.Until, p.Handles}
	}
	if d := q.Dest; d != nil {
		out.Dest = &vDest{hexID(d.Device), hexID(d.Domain), d.Level, d.Anchor, d.Country, d.Renderer, d.System, d.Clear}
	}
	return out
}

func ofDecision(d *license.Decision) *vDecision {
	if d == nil {
		return nil
	}
	return &vDecision{
		Allow: d.Allow, Tier: d.Tier, KIDs: each(d.KIDs, hexKey), ValidUntil: d.ValidUntil, Next: orEmpty(d.Next),
		Reasons: each(d.Reasons, func(r license.Reason) vReason { return vReason{r.Code, r.Constraint, r.Closed, r.Earliest, r.Remedy} }),
		Confirm: each(d.Confirm, func(c license.Confirm) vConfirm { return vConfirm{c.Kind, c.Until, c.What, c.To} }),
		Notes:   orEmpty(d.Notes), WouldUnlock: each(d.WouldUnlock, func(u license.Unlock) license.Tier { return u.Tier }), Blocked: orEmpty(d.Blocked),
		Counters: vCounters{d.Counters.PlaysLeft, d.Counters.MSLeft, d.Counters.CopiesLeft},
	}
}
