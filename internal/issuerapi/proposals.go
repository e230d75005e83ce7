package issuerapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/lares-drm/lares/internal/audit"
	"github.com/lares-drm/lares/internal/operator"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

// What takes two operators, as proposals and the log name it.
const (
	actRevokeGrant     = "grant.revoke"     // subject: household/grant
	actRevokeHousehold = "household.revoke" // subject: household
	actRebind          = "license.rebind"   // subject: household/license/household
	actEndLicense      = "license.end"      // subject: household/license
	actReplace         = "license.replace"  // subject: household/license
	actRemoveDevice    = "device.remove"    // subject: household/device
	actEndDomain       = "domain.end"       // subject: household
)

func (a *api) proposalRoutes() {
	tag := "proposals"
	add(a, op{id: "list-proposals", method: "GET", path: "/api/v1/proposals", tag: tag, text: "Revocations that wait, and what became of others; newest first", scope: operator.Read}, a.proposals)
	add(a, op{id: "approve-proposal", method: "POST", path: "/api/v1/proposals/{proposal}/approve", tag: tag, text: "Approve what another operator proposed: it is done", scope: operator.Revoke}, func(ctx context.Context, in *proposalPath) (operator.Proposal, error) {
		who := operator.From(ctx)
		return a.cfg.Desk.Approve(ctx, who, in.Proposal, func(ctx context.Context, p operator.Proposal) error { return a.perform(ctx, who, p.Action, p.Subject) })
	})
	add(a, op{id: "withdraw-proposal", method: "POST", path: "/api/v1/proposals/{proposal}/withdraw", tag: tag, text: "Withdraw a proposal", scope: operator.Revoke}, func(ctx context.Context, in *proposalPath) (operator.Proposal, error) {
		return a.cfg.Desk.Withdraw(ctx, operator.From(ctx), in.Proposal)
	})
}

type proposalPath struct {
	Proposal operator.ProposalID `path:"proposal"`
}

// ProposalPage is a page of proposals; Next is the cursor of the next one, or empty.
type ProposalPage struct {
	Proposals []operator.Proposal `json:"proposals"`
	Next      string              `json:"next,omitempty"`
}

func (a *api) proposals(ctx context.Context, in *AfterText) (out ProposalPage, err error) {
	var after operator.ProposalPlace
	if in.After != "" {
		at, id, _ := strings.Cut(in.After, ".")
		if after.At, err = strconv.ParseInt(at, 10, 64); err != nil || after.At <= 0 || after.ID.UnmarshalText([]byte(id)) != nil {
			return out, fmt.Errorf("%w: cursor", errRequest)
		}
	}
	out.Proposals, err = a.cfg.Desk.Proposals(ctx, after, pageSize)
	if n := len(out.Proposals); n == pageSize {
		last := out.Proposals[n-1]
		out.Next = strconv.FormatInt(last.At, 10) + "." + last.ID.String()
	}
	return out, err
}

// Reason is why something is revoked.
type Reason struct {
	Reason string `json:"reason,omitempty"`
}

type (
	revokeGrant struct {
		GrantPath
		Revoking
		Body *Reason
	}
	revokeHousehold struct {
		DomainPath
		Revoking
		Body *Reason
	}
	licenseBody struct {
		LicensePath
		Revoking
		Body *Reason
	}
	rebindLicense struct {
		LicensePath
		Revoking
		Body struct {
			To     ident.Domain `json:"to"`
			Reason string       `json:"reason,omitempty"`
		}
	}
	Revoking struct {
		Key string `header:"Idempotency-Key" maxLength:"200" doc:"the same proposal again is the same one"`
	}
)

func (r *Revoking) key() string { return r.Key }

func (b *Reason) text() string {
	if b == nil {
		return ""
	}
	return b.Reason
}

func (in *revokeGrant) reason() string     { return in.Body.text() }
func (in *revokeHousehold) reason() string { return in.Body.text() }
func (in *licenseBody) reason() string     { return in.Body.text() }
func (in *rebindLicense) reason() string   { return in.Body.Reason }

// Revoked says that it is done, or what waits for a second operator.
type Revoked struct {
	Done     bool               `json:"done"`
	Proposal *operator.Proposal `json:"proposal,omitempty"`
}

type revokedAnswer struct {
	Status int
	Body   Revoked
}

// addRevocation serves what takes two operators: 200 when it is done, 202 when
// it waits for the second one.
func addRevocation[I any, P interface {
	*I
	key() string
	reason() string
}](a *api, id, path, tag, text, action string, subject func(context.Context, *I) (string, error)) {
	o := a.operation(op{id: id, method: "POST", path: path, tag: tag, text: text + "; 202: it waits for a second operator", scope: operator.Revoke})
	o.Responses["202"] = &huma.Response{Description: "It waits for a second operator", Content: map[string]*huma.MediaType{
		"application/json": {Schema: a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Revoked](), true, "Revoked")},
	}}
	huma.Register(a.huma, o, func(ctx context.Context, in *I) (*revokedAnswer, error) {
		who := operator.From(ctx)
		what, err := subject(ctx, in)
		if err != nil {
			return nil, a.problem(ctx, err)
		}
		if a.cfg.Desk.Alone(who) {
			if err := a.perform(ctx, who, action, what); err != nil {
				return nil, a.problem(ctx, err)
			}
			return &revokedAnswer{http.StatusOK, Revoked{Done: true}}, nil
		}
		p, err := a.cfg.Desk.Propose(ctx, who, action, what, P(in).reason(), P(in).key())
		if err != nil {
			return nil, a.problem(ctx, err)
		}
		return &revokedAnswer{http.StatusAccepted, Revoked{Done: p.State == operator.Done, Proposal: &p}}, nil
	})
}

// perform does what was decided. Doing it twice changes nothing.
func (a *api) perform(ctx context.Context, who *operator.Operator, action, subject string) error {
	ctx = issuer.WithAct(ctx, &issuer.Act{Entry: audit.Entry{At: a.cfg.Now().UnixMilli(), Actor: who.Actor(), Action: action, Subject: subject}})
	parts := strings.Split(subject, "/")
	var from, to ident.Domain
	if err := from.UnmarshalText([]byte(parts[0])); err != nil {
		return err
	}
	switch {
	case action == actRevokeGrant && len(parts) == 2:
		var g issuer.GrantID
		if err := g.UnmarshalText([]byte(parts[1])); err != nil {
			return err
		}
		return a.cfg.Issuer.Revoke(ctx, issuer.GrantKey{Domain: from, Grant: g})
	case action == actRevokeHousehold && len(parts) == 1:
		_, err := a.cfg.Issuer.RevokeHousehold(ctx, from)
		return err
	case action == actEndDomain && len(parts) == 1:
		return a.cfg.Issuer.RemoveDomain(ctx, from)
	case action == actRemoveDevice && len(parts) == 2:
		var d ident.Device
		if err := d.UnmarshalText([]byte(parts[1])); err != nil {
			return err
		}
		return a.cfg.Issuer.RemoveDevice(ctx, from, d)
	case (action == actEndLicense || action == actReplace) && len(parts) == 2:
		var l ident.License
		if err := l.UnmarshalText([]byte(parts[1])); err != nil {
			return err
		}
		if action == actReplace {
			return a.cfg.Issuer.Replace(ctx, from, l)
		}
		return a.cfg.Issuer.EndIssue(ctx, from, l)
	case action == actRebind && len(parts) == 3:
		var l ident.License
		if err := errors.Join(l.UnmarshalText([]byte(parts[1])), to.UnmarshalText([]byte(parts[2]))); err != nil {
			return err
		}
		_, err := a.cfg.Issuer.Rebind(ctx, from, l, to)
		return err
	}
	return fmt.Errorf("%w: nothing of this name is decided by two", errRequest)
}
