package clearkey

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/lares-drm/lares/interconnect/adapt"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
)

// KeySystem is the name browsers know the system by. Source: EME.
const KeySystem = "org.w3.clearkey"

// MediaType of the artifact: initialization data of type "keyids". Source: EME
// Initialization Data Format Registry.
const MediaType = "application/json"

// Adapter translates licenses for Clear Key. The zero value is ready.
type Adapter struct{}

var _ adapt.Adapter = Adapter{}

// System describes Clear Key: it can play, and it enforces nothing.
func (Adapter) System() adapt.System {
	return adapt.System{
		Name: permission.SystemClearKey, Version: "EME 2017", Live: true,
		Permissions: []permission.Permission{permission.Play}, Enforces: []string{}, Holds: adapt.Fed(),
		Keys: "session keys of a link-encrypted stream, made by the trusted module",
	}
}

// Import reads a Clear Key document, a license request or a key set, only to
// say what it is: neither states rights.
func (Adapter) Import(ctx context.Context, doc []byte) (adapt.Proposal, error) {
	if err := ctx.Err(); err != nil {
		return adapt.Proposal{}, err
	}
	if _, err := ParseRequest(doc); err == nil {
		return adapt.Proposal{}, fmt.Errorf("%w: it asks for keys", adapt.ErrNoRights)
	}
	var set answerJSON
	if len(doc) <= MaxRequest && decode(doc, &set) == nil && len(set.Keys) > 0 {
		return adapt.Proposal{}, fmt.Errorf("%w: it holds keys only", adapt.ErrNoRights)
	}
	return adapt.Proposal{}, adapt.ErrDocument
}

// Export gives the initialization data ("keyids") for the license's keys and
// what a browser loses. The keys themselves come from the trusted module, for
// each session anew.
func (a Adapter) Export(ctx context.Context, lic *license.License) (adapt.Artifact, adapt.Loss, error) {
	if err := ctx.Err(); err != nil {
		return adapt.Artifact{}, nil, err
	}
	loss, err := adapt.Feed(lic, a.System())
	if err != nil {
		return adapt.Artifact{}, nil, err
	}
	var data struct {
		KIDs []string `json:"kids"`
	}
	for _, k := range lic.Info().Keys {
		data.KIDs = append(data.KIDs, encode(k.KID[:]))
	}
	slices.Sort(data.KIDs)
	body, err := json.Marshal(data)
	if err != nil {
		return adapt.Artifact{}, nil, fmt.Errorf("write initialization data: %w", err)
	}
	loss = append(loss, adapt.Lost{
		Right: "ROBUSTNESS", Effect: adapt.Narrowed,
		Words: "The browser's own code shows the picture, so it protects less than a secure player.",
	})
	return adapt.Artifact{MediaType: MediaType, Body: body}, loss, nil
}
