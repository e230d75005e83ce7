package operator_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/operator"
	"github.com/lares-drm/lares/internal/operator/operatortest"
)

// provider is the kit's, as these tests ask it.
type provider struct{ *operatortest.Provider }

func (p provider) config() operator.OIDCConfig {
	return operator.OIDCConfig{
		Provider: p.URL, ClientID: "lares", ClientSecret: "s", Redirect: "https://shop.example/console/oidc", Claim: "groups",
		Roles: map[string]operator.Role{"drm-security": operator.Security, "drm-look": operator.Viewer},
	}
}

// begin goes to the provider as a browser does.
func (p provider) begin(t *testing.T, o *operator.OIDC) (state string) {
	to, state, err := o.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	p.Asked = u.Query()
	return state
}

func TestOIDC_Spec5_SignIn(t *testing.T) {
	p := provider{operatortest.NewProvider(t)}
	o := operator.NewOIDC(p.config(), time.Now, p.Client())
	state := p.begin(t, o)
	if p.Asked.Get("code_challenge_method") != "S256" || p.Asked.Get("state") != state || p.Asked.Get("nonce") == "" || p.Asked.Get("response_type") != "code" || p.Asked.Get("redirect_uri") != "https://shop.example/console/oidc" {
		t.Errorf("asked %v", p.Asked)
	}
	who, err := o.Finish(t.Context(), state, state, operatortest.Code)
	if err != nil || who.Role() != operator.Security || who.Actor() != "oidc:"+p.URL+" ada" || who.Name() != "Ada" || who.Owner() {
		t.Fatalf("%+v, %v", who, err)
	}
	if _, err := o.Finish(t.Context(), state, state, operatortest.Code); !errors.Is(err, operator.ErrUnknown) {
		t.Errorf("the same answer again: %v", err)
	}
}

func TestOIDC_Spec5_WhatIsRefused(t *testing.T) {
	p := provider{operatortest.NewProvider(t)}
	for name, tc := range map[string]struct {
		claims map[string]any
		kept   func(state string) string
		code   string
		claim  string
		want   error
	}{
		"another browser":                     {kept: func(string) string { return "another" }, want: operator.ErrUnknown},
		"no cookie":                           {kept: func(string) string { return "" }, want: operator.ErrUnknown},
		"a forged code":                       {code: "guessed", want: operator.ErrUnknown},
		"another nonce":                       {claims: map[string]any{"nonce": "replayed"}, want: operator.ErrUnknown},
		"another audience":                    {claims: map[string]any{"aud": "another"}, want: operator.ErrUnknown},
		"another issuer":                      {claims: map[string]any{"iss": "https://evil.example"}, want: operator.ErrUnknown},
		"over":                                {claims: map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}, want: operator.ErrUnknown},
		"no group":                            {claims: map[string]any{"groups": []string{"others"}}, want: operator.ErrForbidden},
		"groups of numbers":                   {claims: map[string]any{"groups": []int{1}}, want: operator.ErrForbidden},
		"a long subject":                      {claims: map[string]any{"sub": strings.Repeat("x", 200)}, want: operator.ErrUnknown},
		"a mail address that nobody verified": {claims: map[string]any{"email": "drm-security"}, claim: "email", want: operator.ErrForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := p.config()
			if tc.claim != "" {
				cfg.Claim = tc.claim
			}
			o := operator.NewOIDC(cfg, time.Now, p.Client())
			p.Claims = tc.claims
			state := p.begin(t, o)
			kept, code := state, operatortest.Code
			if tc.kept != nil {
				kept = tc.kept(state)
			}
			if tc.code != "" {
				code = tc.code
			}
			if who, err := o.Finish(t.Context(), kept, state, code); !errors.Is(err, tc.want) {
				t.Errorf("%+v, %v; want %v", who, err, tc.want)
			}
		})
	}
}

// A sign-in that was begun ends by itself, and so many can be begun.
func TestOIDC_Spec5_TimeAndNumber(t *testing.T) {
	p := provider{operatortest.NewProvider(t)}
	now := time.Now()
	o := operator.NewOIDC(p.config(), func() time.Time { return now }, p.Client())
	state := p.begin(t, o)
	now = now.Add(10 * time.Minute)
	if _, err := o.Finish(t.Context(), state, state, operatortest.Code); !errors.Is(err, operator.ErrUnknown) {
		t.Errorf("after ten minutes: %v", err)
	}
	var err error
	for range 1001 {
		_, _, err = o.Begin(t.Context())
	}
	if !errors.Is(err, operator.ErrInvalid) {
		t.Errorf("the 1001st: %v", err)
	}
	now = now.Add(10 * time.Minute)
	p.begin(t, o)
	p.Close()
	if _, _, err := operator.NewOIDC(p.config(), time.Now, p.Client()).Begin(context.Background()); err == nil { //nolint:usetesting // the server is gone, not the test
		t.Error("a provider that is away signs somebody in")
	}
}

const oidcFile = `{"provider":"https://login.example","client_id":"lares","client_secret":"s","redirect":"https://shop.example/console/oidc","roles":{"a":"viewer"}}`

func TestOIDC_Spec5_File(t *testing.T) {
	if c, err := operator.ParseOIDC([]byte(oidcFile)); err != nil || c.Claim != "groups" {
		t.Errorf("%+v, %v", c, err)
	}
	for name, text := range map[string]string{
		"a role that is none": strings.Replace(oidcFile, "viewer", "god", 1),
		"plain http":          strings.Replace(oidcFile, "https://login", "http://login", 1),
		"another member":      strings.Replace(oidcFile, `"client_id"`, `"x":1,"client_id"`, 1),
		"no secret":           strings.Replace(oidcFile, `"client_secret":"s",`, "", 1),
		"two objects":         oidcFile + "{}",
		"nothing":             "",
	} {
		if _, err := operator.ParseOIDC([]byte(text)); !errors.Is(err, operator.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzOIDCFile(f *testing.F) {
	f.Add([]byte(oidcFile))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := operator.ParseOIDC(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := operator.ParseOIDC(again); err != nil {
			t.Errorf("%q is read, and what it says is not: %v", data, err)
		}
	})
}

func FuzzKey(f *testing.F) {
	f.Add("lares_key_0102030405060708_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, token string) {
		id, err := operator.ParseKey(token)
		if err == nil && !strings.HasPrefix(token, "lares_key_"+id.String()+"_") {
			t.Errorf("%q is read as key %v", token, id)
		}
	})
}
