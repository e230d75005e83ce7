package lcp

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/lares-drm/lares/interconnect/adapt"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
)

// DraftMediaType is that of an artifact: a license document before it has keys.
// Source: local.
const DraftMediaType = "application/vnd.lares.lcp-draft+json"

// Draft is what a license permits, in the words of LCP: the body of an artifact.
type Draft struct {
	ID     string `json:"id"`
	Issued string `json:"issued"`
	Rights Rights `json:"rights"`
}

// Adapter translates licenses and LCP license documents. The zero value is ready.
type Adapter struct{}

var _ adapt.Adapter = Adapter{}

// System describes LCP: a reader keeps a window of time, and nothing else.
func (Adapter) System() adapt.System {
	return adapt.System{
		Name: "lcp", Version: "LCP 1.0, basic profile", Imports: true, Permissions: []permission.Permission{permission.Play},
		Enforces: []string{"START_TIME", "END_TIME"}, Holds: []string{},
		Keys: "the publication's own, which its provider holds; a draft has none",
	}
}

// Import reads the rights of a license document. It does not verify it: the
// caller does, with the provider's root. An absent right is no limit in LCP, so
// what has no counterpart here is left out, never granted.
func (Adapter) Import(ctx context.Context, doc []byte) (adapt.Proposal, error) {
	if err := ctx.Err(); err != nil {
		return adapt.Proposal{}, err
	}
	var d Draft
	l, err := Parse(doc)
	switch {
	case err == nil:
		d = Draft{ID: l.ID, Issued: l.Issued}
		if l.Rights != nil {
			d.Rights = *l.Rights
		}
	case !errors.Is(err, adapt.ErrDocument):
		return adapt.Proposal{}, err
	default:
		if _, bad := ParseStatus(doc); bad == nil {
			return adapt.Proposal{}, fmt.Errorf("%w: it is a status document", adapt.ErrNoRights)
		}
		if d.parse(doc) != nil {
			return adapt.Proposal{}, err
		}
	}
	return d.propose()
}

// parse reads a draft as Export writes it.
func (d *Draft) parse(doc []byte) error {
	var names map[string]json.RawMessage
	if err := adapt.DecodeJSON(doc, MaxDocument, &names); err != nil {
		return err
	}
	if len(names) != 3 || names["rights"] == nil {
		return adapt.ErrDocument
	}
	if err := adapt.DecodeJSON(doc, MaxDocument, d); err != nil {
		return err
	}
	if _, _, err := instant(d.Issued); err != nil || d.ID == "" || d.Rights.Print == nil || d.Rights.Copy == nil {
		return adapt.ErrDocument
	}
	return nil
}

func (d *Draft) propose() (adapt.Proposal, error) {
	x := permission.UsageUnit{Kind: permission.Playback}
	var loss adapt.Loss
	if d.Rights.Start != "" {
		_, last, err := instant(d.Rights.Start)
		if err != nil {
			return adapt.Proposal{}, err
		}
		x.StartTime = last
	}
	if d.Rights.End != "" {
		first, _, err := instant(d.Rights.End)
		if err != nil {
			return adapt.Proposal{}, err
		}
		if x.EndTime = first; first <= x.StartTime {
			return adapt.Proposal{}, fmt.Errorf("%w: its time is empty", adapt.ErrNoRights)
		}
	}
	if d.Rights.Print == nil || *d.Rights.Print > 0 {
		loss = append(loss, adapt.Lost{Right: "print", Effect: adapt.Dropped, Words: "Pages are not counted here, so it may not be printed."})
	}
	if d.Rights.Copy == nil || *d.Rights.Copy > 0 {
		loss = append(loss, adapt.Lost{Right: "copy", Effect: adapt.Dropped, Words: "Characters are not counted here, so none may be copied."})
	}
	units := &permission.Units{Usage: []permission.UsageUnit{x}}
	code, err := units.Encode()
	if err != nil {
		return adapt.Proposal{}, fmt.Errorf("%w: %w", adapt.ErrDocument, err)
	}
	return adapt.Proposal{Code: code, About: d.ID, Policy: adapt.Strict(units), Loss: loss}, nil
}

// Export writes a draft. In LCP an absent right is no limit, so printing and
// copying are written as none.
func (a Adapter) Export(ctx context.Context, lic *license.License) (adapt.Artifact, adapt.Loss, error) {
	if err := ctx.Err(); err != nil {
		return adapt.Artifact{}, nil, err
	}
	t, loss, err := adapt.Flatten(lic, a.System())
	if err != nil {
		return adapt.Artifact{}, nil, err
	}
	info := lic.Info()
	d := Draft{ID: hex.EncodeToString(info.ID[:]), Issued: date(info.IssuedAt), Rights: Rights{Print: new(uint64), Copy: new(uint64)}}
	if t.Start != 0 {
		d.Rights.Start = date(t.Start)
	}
	if t.End != 0 {
		d.Rights.End = date(t.End)
	}
	body, err := json.Marshal(d)
	if err != nil {
		return adapt.Artifact{}, nil, fmt.Errorf("lcp: write a draft: %w", err)
	}
	return adapt.Artifact{MediaType: DraftMediaType, Body: body}, append(loss, adapt.Lost{
		Right: "ROBUSTNESS", Effect: adapt.Narrowed, Words: "The basic profile is for tests: a passphrase is all that protects the publication.",
	}), nil
}
