package operator_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"crypto"

	"github.com/lares-drm/lares/internal/operator"
)

// provider is an OpenID provider of a test.
type provider struct {
	*httptest.Server
	t      *testing.T
	key    *rsa.PrivateKey
	claims map[string]any // of the next ID token; change what it would say
	asked  url.Values     // at the authorization endpoint
	sent   url.Values     // to the token endpoint
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{t: t, key: key}
	mux := http.NewServeMux()
	reply := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(v) //nolint:errcheck,errchkjson // the test sees it
	}
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]any{
			"issuer": p.URL, "authorization_endpoint": p.URL + "/auth", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256"},
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]any{"keys": []any{map[string]any{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1", "n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes())}}})
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		p.sent = r.Form
		sum := sha256.Sum256([]byte(r.Form.Get("code_verifier")))
		if r.Form.Get("code") != "the code" || b64(sum[:]) != p.asked.Get("code_challenge") {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		reply(w, map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": p.sign()})
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func (p *provider) sign() string {
	all := map[string]any{"iss": p.URL, "sub": "ada", "aud": "lares", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(), "nonce": p.asked.Get("nonce"), "name": "Ada", "groups": []string{"drm-security", "drm-look"}}
	for k, v := range p.claims {
		all[k] = v
	}
	body, err := json.Marshal(all)
	if err != nil {
		p.t.Error(err)
	}
	text := b64([]byte(`{"alg":"RS256","kid":"1"}`)) + "." + b64(body)
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, p.key, crypto.SHA256, sum[:])
	if err != nil {
		p.t.Error(err)
	}
	return text + "." + b64(sig)
}

func (p *provider) config() operator.OIDCConfig {
	return operator.OIDCConfig{
		Provider: p.URL, ClientID: "lares", ClientSecret: "s", Redirect: "https://shop.example/console/oidc", Claim: "groups",
		Roles: map[string]operator.Role{"drm-security": operator.Security, "drm-look": operator.Viewer},
	}
}

// begin goes to the provider as a browser does.
func (p *provider) begin(o *operator.OIDC) (state string) {
	p.t.Helper()
	to, state, err := o.Begin(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	u, err := url.Parse(to)
	if err != nil {
		p.t.Fatal(err)
	}
	p.asked = u.Query()
	return state
}

func TestOIDC_Spec5_SignIn(t *testing.T) {
	p := newProvider(t)
	o := operator.NewOIDC(p.config(), time.Now, p.Client())
	state := p.begin(o)
	if p.asked.Get("code_challenge_method") != "S256" || p.asked.Get("state") != state || p.asked.Get("nonce") == "" || p.asked.Get("response_type") != "code" || p.asked.Get("redirect_uri") != "https://shop.example/console/oidc" {
		t.Errorf("asked %v", p.asked)
	}
	who, err := o.Finish(t.Context(), state, state, "the code")
	if err != nil || who.Role() != operator.Security || who.Actor() != "oidc:"+p.URL+" ada" || who.Name() != "Ada" || who.Owner() {
		t.Fatalf("%+v, %v", who, err)
	}
	if _, err := o.Finish(t.Context(), state, state, "the code"); !errors.Is(err, operator.ErrUnknown) {
		t.Errorf("the same answer again: %v", err)
	}
}

func TestOIDC_Spec5_WhatIsRefused(t *testing.T) {
	p := newProvider(t)
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
			p.claims = tc.claims
			state := p.begin(o)
			kept, code := state, "the code"
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
	p := newProvider(t)
	now := time.Now()
	o := operator.NewOIDC(p.config(), func() time.Time { return now }, p.Client())
	state := p.begin(o)
	now = now.Add(10 * time.Minute)
	if _, err := o.Finish(t.Context(), state, state, "the code"); !errors.Is(err, operator.ErrUnknown) {
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
	p.begin(o)
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
