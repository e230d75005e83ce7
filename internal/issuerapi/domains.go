package issuerapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/internal/caller"
	"github.com/lares-drm/lares/internal/operator"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/issuer"
)

func (a *api) domainRoutes() {
	tag := "domains"
	add(a, op{id: "list-domains", method: "GET", path: "/api/v1/domains", tag: tag, text: "Domains that this issuer manages, for households without a home server", scope: operator.Read}, a.domains)
	add(a, op{id: "make-domain", method: "POST", path: "/api/v1/domains", tag: tag, text: "Make a domain, and a code by which its first devices join", scope: operator.Sell, act: "domain.new"}, a.makeDomain)
	add(a, op{id: "read-domain", method: "GET", path: "/api/v1/domains/{domain}", tag: tag, text: "A domain and its devices", scope: operator.Read}, func(ctx context.Context, in *DomainPath) (issuer.Domain, error) {
		return a.cfg.Issuer.Domain(ctx, in.Domain)
	})
	add(a, op{id: "make-join-code", method: "POST", path: "/api/v1/domains/{domain}/code", tag: tag, text: "A new code to join a domain by, in the place of the one before", scope: operator.Help, act: "domain.code"}, func(ctx context.Context, in *codeBody) (JoinCodeView, error) {
		return a.joinCode(ctx, in.Domain, in.Body != nil && in.Body.Idle)
	})
	add(a, op{id: "join-domain", method: "POST", path: "/api/v1/domains/join", tag: "households", text: "Join a domain by its code: the membership of the device that asks"}, a.joinDomain)
	addRevocation(a, "remove-device", "/api/v1/domains/{domain}/devices/{device}/remove", tag, "Put a device out of a domain", actRemoveDevice, func(_ context.Context, in *removeDevice) (string, error) {
		return in.Domain.String() + "/" + in.Device.String(), nil
	})
	addRevocation(a, "end-domain", "/api/v1/domains/{domain}/end", tag, "End a domain and its grants", actEndDomain, func(_ context.Context, in *revokeHousehold) (string, error) {
		return in.Domain.String(), nil
	})
}

type removeDevice struct {
	DomainPath
	Device ident.Device `path:"device"`
	Revoking
	Body *Reason
}

func (in *removeDevice) reason() string { return in.Body.text() }

func (d *DomainPath) subject() string { return d.Domain.String() }

// ManagedPage is a page of domains; Next is the cursor of the next one, or empty.
type ManagedPage struct {
	Domains []issuer.Domain `json:"domains"` // without their devices
	Next    string          `json:"next,omitempty"`
}

func (a *api) domains(ctx context.Context, in *AfterText) (out ManagedPage, err error) {
	var after ident.Domain
	if in.After != "" && after.UnmarshalText([]byte(in.After)) != nil {
		return out, errors.Join(errRequest, errors.New("cursor"))
	}
	out.Domains, err = a.cfg.Issuer.Domains(ctx, after, pageSize)
	if n := len(out.Domains); n == pageSize {
		out.Next = out.Domains[n-1].Domain.String()
	}
	return out, err
}

// DomainRequest asks for a domain.
type DomainRequest struct {
	Devices  uint64 `json:"devices,omitempty" maximum:"64" doc:"at one time; default 8"`
	NewAYear uint64 `json:"new_a_year,omitempty" maximum:"64" doc:"new ones in 365 days; default: any number"`
}

type domainBody struct{ Body DomainRequest }

// DomainView is a new domain, with the code to join it by.
type DomainView struct {
	issuer.Domain
	JoinCodeView
}

// JoinCodeView is a code to join a domain by.
type JoinCodeView struct {
	Code      string `json:"code"` // grouped
	ExpiresAt int64  `json:"expires_at"`
}

func (a *api) makeDomain(ctx context.Context, in *domainBody) (out DomainView, err error) {
	if out.Domain, err = a.cfg.Issuer.CreateDomain(ctx, issuer.NewDomain{Devices: in.Body.Devices, NewAYear: in.Body.NewAYear}); err != nil {
		return out, err
	}
	out.JoinCodeView, err = a.joinCode(ctx, out.Domain.Domain, false)
	return out, err
}

type codeBody struct {
	DomainPath
	Body *CodeRequest
}

// CodeRequest asks for a code to join by.
type CodeRequest struct {
	Idle bool `json:"idle,omitempty" doc:"in a full domain, who joins may have the place of the device that was not seen for the longest time, if it was not for 30 days"`
}

func (a *api) joinCode(ctx context.Context, domain ident.Domain, idle bool) (JoinCodeView, error) {
	code, expires, err := a.cfg.Issuer.JoinCode(ctx, domain, idle)
	if err != nil {
		return JoinCodeView{}, err
	}
	return JoinCodeView{Code: code.Grouped(), ExpiresAt: expires}, nil
}

// JoinRequest is a device that shows a code.
type JoinRequest struct {
	Code string `json:"code"`
	issuer.Joining
}

// Joined is a device's membership, for its module.
type Joined struct {
	Membership []byte   `json:"membership"`
	Manager    [][]byte `json:"manager"`
}

// joinBody also finds out where the request comes from.
type joinBody struct {
	Body JoinRequest
	from netip.Addr
}

// Resolve runs before the operation; the library calls it by this name.
func (b *joinBody) Resolve(hc huma.Context) []error {
	r, _ := humago.Unwrap(hc)
	b.from = caller.Of(&http.Request{RemoteAddr: r.RemoteAddr, Header: r.Header})
	return nil
}

func (a *api) joinDomain(ctx context.Context, in *joinBody) (out Joined, err error) {
	code, err := issuer.ParseClaimCode(in.Body.Code)
	if err != nil {
		return out, err
	}
	got, err := a.cfg.Issuer.Join(ctx, in.from, code, in.Body.Joining)
	return Joined{Membership: got.Membership, Manager: got.Manager}, err
}

// memberDoors serve devices of domains, at the paths and in the form of a home server
// (docs/spec/home-api.md): what waits for one, and the card of another one.
func (a *api) memberDoors(mux *http.ServeMux) {
	mux.HandleFunc("GET "+home.PathLetters+"/{device}", func(w http.ResponseWriter, r *http.Request) {
		var id ident.Device
		after, err := strconv.ParseUint(r.URL.Query().Get("after"), 10, 63)
		if err != nil || id.UnmarshalText([]byte(r.PathValue("device"))) != nil {
			writeProblem(w, newProblem(http.StatusNotFound, "not_found", "no such device"))
			return
		}
		box, err := a.cfg.Issuer.LettersFor(r.Context(), linkOf(r), id, after)
		out := []home.Letter{}
		for _, l := range box {
			out = append(out, home.Letter{Number: l.Number, From: l.From, Topic: l.Topic[:], At: time.UnixMilli(l.At).UTC(), Bytes: l.Bytes})
		}
		a.toMember(w, r, map[string]any{"letters": out}, err)
	})
	mux.HandleFunc("GET "+home.PathRecipients+"/{name}", func(w http.ResponseWriter, r *http.Request) {
		id, name, card, err := a.cfg.Issuer.CardOf(r.Context(), linkOf(r), r.PathValue("name"))
		a.toMember(w, r, home.Recipient{ID: id, Name: name, Card: card}, err)
	})
}

func (a *api) toMember(w http.ResponseWriter, r *http.Request, v any, err error) {
	if errors.Is(err, issuer.ErrUnproven) {
		http.Error(w, http.StatusText(http.StatusForbidden), http.StatusForbidden)
		return
	}
	var p *Problem
	if err != nil && errors.As(a.problem(r.Context(), err), &p) {
		writeProblem(w, p)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(v) //nolint:errcheck,errchkjson // the peer is gone
}

func linkOf(r *http.Request) lrp.LinkID {
	link, err := lrp.ParseLinkID(r.Header.Get(lrphttp.LinkHeader))
	if err != nil {
		return lrp.LinkID{} // on which nobody is proven
	}
	return link
}
