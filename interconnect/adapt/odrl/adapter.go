package odrl

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/lares-drm/lares/interconnect/adapt"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
)

// MediaType of a policy. Source: JSON-LD 1.1.
const MediaType = "application/ld+json"

// Adapter translates licenses and ODRL policies. The zero value is ready.
type Adapter struct{}

var _ adapt.Adapter = Adapter{}

// System describes ODRL: it can say what a player of another house shall keep,
// and holds no key.
func (Adapter) System() adapt.System {
	return adapt.System{
		Name: "odrl", Version: "ODRL 2.2", Imports: true,
		Permissions: []permission.Permission{permission.Play},
		Enforces:    []string{"START_TIME", "END_TIME", "INTERVAL", "PLAY_COUNT", "RESOLUTION", "OUTPUT_PROTECTION", "ACCUMULATED", "TERRITORY"},
		Holds:       []string{}, Keys: "none: a policy says what is permitted, not how to decrypt",
	}
}

// The written form; the order of members is that of the fields.
type policyJSON struct {
	Context    string     `json:"@context"`
	Type       string     `json:"@type"`
	UID        string     `json:"uid"`
	Profile    string     `json:"profile,omitempty"`
	Permission []ruleJSON `json:"permission"`
}

type ruleJSON struct {
	Target     string           `json:"target"`
	Assigner   string           `json:"assigner"`
	Assignee   string           `json:"assignee"`
	Action     string           `json:"action"`
	Constraint []constraintJSON `json:"constraint,omitempty"`
}

type constraintJSON struct {
	Left     string `json:"leftOperand"`
	Operator string `json:"operator"`
	Right    any    `json:"rightOperand"`
}

type typed struct {
	Value string `json:"@value"`
	Type  string `json:"@type"`
}

// Export writes the license as an Agreement between its issuer and its subject.
func (a Adapter) Export(ctx context.Context, lic *license.License) (adapt.Artifact, adapt.Loss, error) {
	if err := ctx.Err(); err != nil {
		return adapt.Artifact{}, nil, err
	}
	t, loss, err := adapt.Flatten(lic, a.System())
	if err != nil {
		return adapt.Artifact{}, nil, err
	}
	for right, ms := range map[string]int64{"INTERVAL": t.Interval, "ACCUMULATED": t.Accumulated} {
		if ms != 0 && ms < 1000 {
			return adapt.Artifact{}, nil, &adapt.UnheldError{System: a.System().Name, Rights: []string{right}} // durations are written in seconds
		}
	}
	info := lic.Info()
	out := policyJSON{
		Context: Context, Type: "Agreement", UID: "lares:license/" + info.ID.String(),
		Permission: []ruleJSON{{
			Target: iri("content", string(info.Content)), Assigner: iri("issuer", string(info.Issuer)),
			Assignee: fmt.Sprintf("lares:subject/%d/%s", info.Subject.Kind, hex.EncodeToString(info.Subject.ID[:])), Action: actPlay, Constraint: constraints(t),
		}},
	}
	if t.MaxPixels != 0 || t.Output != 0 {
		out.Profile = Profile
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(out); err != nil {
		return adapt.Artifact{}, nil, fmt.Errorf("write a policy: %w", err)
	}
	return adapt.Artifact{MediaType: MediaType, Body: b.Bytes()}, loss, nil
}

func constraints(t *adapt.Terms) []constraintJSON {
	var out []constraintJSON
	add := func(there bool, left, op string, right any) {
		if there {
			out = append(out, constraintJSON{left, op, right})
		}
	}
	instant := func(ms int64) typed {
		return typed{time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.999Z07:00"), "xsd:dateTime"}
	}
	span := func(ms int64) typed {
		seconds := strconv.FormatInt(ms/1000, 10)
		return typed{"PT" + seconds + "S", "xsd:duration"} // whole seconds: never longer
	}
	count := func(n uint64) typed { return typed{strconv.FormatUint(n, 10), "xsd:integer"} }
	add(t.Start != 0, "dateTime", "gteq", instant(t.Start))
	add(t.End != 0, "dateTime", "lt", instant(t.End))
	add(t.Interval != 0, "elapsedTime", "lteq", span(t.Interval))
	add(t.Plays != 0, "count", "lteq", count(t.Plays))
	add(t.Accumulated != 0, "meteredTime", "lteq", span(t.Accumulated))
	add(len(t.Territory) > 0, "spatial", "isAnyOf", t.Territory)
	add(t.MaxPixels != 0, Profile+"#maxPixels", "lteq", count(t.MaxPixels))
	add(t.Output != 0, Profile+"#outputProtection", "gteq", t.Output.String())
	return out
}

// iri makes an identifier of an ID: itself, where it is an IRI already.
func iri(kind, id string) string {
	if u, err := url.Parse(id); err == nil && u.Scheme != "" && u.Scheme != "lares" && u.String() == id && !strings.ContainsAny(id, "<>\"{}|\\^` ") {
		return id
	}
	return "lares:" + kind + "/" + url.PathEscape(id)
}
