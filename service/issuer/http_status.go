package issuer

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/lares-drm/lares/license/ident"
)

func (a *api) statusRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET "+StatusPath+"{domain}/{license}", a.open(a.status))
	mux.HandleFunc("POST "+StatusPath+"{domain}/{license}/renew", a.open(a.renewLicense))
}

// licenseArg reads whose license is meant. Both IDs have 128 bits that nobody
// can guess: who knows them has the license.
func licenseArg(r *http.Request) (domain ident.Domain, id ident.License, err error) {
	if err := errors.Join(domain.UnmarshalText([]byte(r.PathValue("domain"))), id.UnmarshalText([]byte(r.PathValue("license")))); err != nil {
		return domain, id, fmt.Errorf("%w: %w", errRequest, err)
	}
	return domain, id, nil
}

func (a *api) status(r *http.Request) (any, error) {
	domain, id, err := licenseArg(r)
	if err != nil {
		return nil, err
	}
	return a.Issuer.Document(r.Context(), strings.TrimSuffix(a.URL, "/"), a.FramesPath, domain, id)
}

// renewLicense renews, and answers with what is then so.
func (a *api) renewLicense(r *http.Request) (any, error) {
	domain, id, err := licenseArg(r)
	if err != nil {
		return nil, err
	}
	if err := a.Issuer.RenewLicense(r.Context(), domain, id); err != nil {
		return nil, err
	}
	return a.Issuer.Document(r.Context(), strings.TrimSuffix(a.URL, "/"), a.FramesPath, domain, id)
}
