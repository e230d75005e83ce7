package issuerapi

import (
	"context"
	"encoding/hex"
	"strings"

	"github.com/lares-drm/lares/internal/operator"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/issuer"
)

func (a *api) licenseRoutes() {
	add(a, op{id: "list-licenses", method: "GET", path: "/api/v1/licenses/{domain}", tag: "licenses", text: "What a household was issued, with digests", scope: operator.Read}, a.licenses)
	add(a, op{id: "read-license", method: "GET", path: "/api/v1/licenses/{domain}/{license}", tag: "licenses", text: "What the issuer knows of a license", scope: operator.Read}, a.status)
	addRevocation(a, "revoke-license", "/api/v1/licenses/{domain}/{license}/revoke", "licenses", "End the grant that a license is of", actRevokeGrant, a.grantOfLicense)
	addRevocation(a, "rebind-license", "/api/v1/licenses/{domain}/{license}/rebind", "licenses", "Give a license to another household, whose house was lost", actRebind, func(_ context.Context, in *rebindLicense) (string, error) {
		return in.Domain.String() + "/" + in.License.String() + "/" + in.Body.To.String(), nil
	})
	addRevocation(a, "end-license", "/api/v1/licenses/{domain}/{license}/end", "licenses", "End one license: it is not given again and not renewed; its grant goes on", actEndLicense, licenseSubject)
	addRevocation(a, "replace-license", "/api/v1/licenses/{domain}/{license}/replace", "licenses", "Give a household a license in the place of one whose module is lost", actReplace, licenseSubject)
	add(a, op{id: "read-status", method: "GET", path: issuer.StatusPath + "{domain}/{license}", tag: "households", text: "The status document, for who has the license"}, a.status)
	add(a, op{id: "return-license", method: "POST", path: issuer.StatusPath + "{domain}/{license}/return", tag: "households", text: "Give a loan back, at its module's signed word"}, a.returnLicense)
	add(a, op{id: "renew-license", method: "POST", path: issuer.StatusPath + "{domain}/{license}/renew", tag: "households", text: "Renew a loan, for who has the license"}, a.renewLicense)
}

// LicenseRow is an issued license as the API shows it.
type LicenseRow struct {
	issuer.License
	Digest string `json:"digest"` // license hash, hexadecimal
}

func rows(ctx context.Context, rd issuer.Reader, d ident.Domain) ([]LicenseRow, error) {
	out := []LicenseRow{}
	all, err := rd.Licenses(ctx, d)
	for _, l := range all {
		out = append(out, LicenseRow{l, hex.EncodeToString(l.Digest[:])})
	}
	return out, err
}

// LicenseList is what a household was issued.
type LicenseList struct {
	Licenses []LicenseRow `json:"licenses"`
}

func (a *api) licenses(ctx context.Context, in *DomainPath) (out LicenseList, err error) {
	err = a.view(ctx, func(ctx context.Context, rd issuer.Reader) error {
		out.Licenses, err = rows(ctx, rd, in.Domain)
		return err
	})
	return out, err
}

// LicensePath says whose license is meant. Both IDs have 128 bits that nobody
// can guess: who knows them has the license.
type LicensePath struct {
	Domain  ident.Domain  `path:"domain"`
	License ident.License `path:"license"`
}

func (a *api) status(ctx context.Context, in *LicensePath) (issuer.StatusDocument, error) {
	return a.cfg.Issuer.Document(ctx, strings.TrimSuffix(a.cfg.URL, "/"), a.cfg.FramesPath, in.Domain, in.License)
}

// renewLicense renews, and answers with what is then so.
func (a *api) renewLicense(ctx context.Context, in *LicensePath) (issuer.StatusDocument, error) {
	if err := a.cfg.Issuer.RenewLicense(ctx, in.Domain, in.License); err != nil {
		return issuer.StatusDocument{}, err
	}
	return a.status(ctx, in)
}

type returnBody struct {
	LicensePath
	Body trem.Proof
}

// returnLicense takes a loan back, and answers with what is then so.
func (a *api) returnLicense(ctx context.Context, in *returnBody) (issuer.StatusDocument, error) {
	if err := a.cfg.Issuer.ReturnLicense(ctx, in.Domain, in.License, in.Body); err != nil {
		return issuer.StatusDocument{}, err
	}
	return a.status(ctx, &in.LicensePath)
}

func licenseSubject(_ context.Context, in *licenseBody) (string, error) {
	return in.Domain.String() + "/" + in.License.String(), nil
}

// grantOfLicense finds what is revoked with a license.
func (a *api) grantOfLicense(ctx context.Context, in *licenseBody) (subject string, err error) {
	err = a.view(ctx, func(ctx context.Context, rd issuer.Reader) error {
		l, err := rd.License(ctx, in.Domain, in.License)
		subject = in.Domain.String() + "/" + l.Grant.String()
		return err
	})
	return subject, err
}
