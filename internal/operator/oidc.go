package operator

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Limits of signing in. Source: local, docs/spec/operators.md.
const (
	signInLife = 10 * time.Minute
	maxSignIns = 1000 // that were begun
	maxOIDC    = 16 << 10
)

// OIDCConfig is how operators sign in at an OpenID provider.
type OIDCConfig struct {
	Provider     string          `json:"provider"` // issuer URL
	ClientID     string          `json:"client_id"`
	ClientSecret string          `json:"client_secret"`
	Redirect     string          `json:"redirect"` // …/console/oidc
	Claim        string          `json:"claim"`    // names groups; default groups
	Roles        map[string]Role `json:"roles"`    // by group
}

// ParseOIDC reads a configuration, strictly.
func ParseOIDC(data []byte) (c OIDCConfig, err error) {
	if len(data) > maxOIDC {
		return c, fmt.Errorf("%w: the sign-in file is too large", ErrInvalid)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return c, fmt.Errorf("%w: the sign-in file: %w", ErrInvalid, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return c, fmt.Errorf("%w: the sign-in file goes on after its object", ErrInvalid)
	}
	if c.Claim == "" {
		c.Claim = "groups"
	}
	for _, s := range []string{c.Provider, c.Redirect} {
		u, err := url.Parse(s)
		if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
			return c, fmt.Errorf("%w: provider and redirect are https URLs (http on this machine only)", ErrInvalid)
		}
	}
	if c.ClientID == "" || c.ClientSecret == "" || len(c.Roles) == 0 {
		return c, fmt.Errorf("%w: the sign-in file lacks client_id, client_secret or roles", ErrInvalid)
	}
	for _, r := range c.Roles {
		if r.Scopes() == nil {
			return c, fmt.Errorf("%w: there is no role %q; there are %v", ErrInvalid, r, Roles())
		}
	}
	return c, nil
}

func loopback(host string) bool { return host == "127.0.0.1" || host == "::1" || host == "localhost" }

// OIDC signs operators in at an OpenID provider: authorization code with PKCE,
// state and nonce. It is safe for concurrent use.
type OIDC struct {
	cfg    OIDCConfig
	now    func() time.Time
	client *http.Client
	mu     sync.Mutex
	begun  map[string]signIn // guarded by mu: by state
	known  *oidc.Provider    // guarded by mu: nil until it was reached
}

// signIn is one that was begun and not ended.
type signIn struct {
	verifier, nonce string
	until           time.Time
}

// NewOIDC makes the sign-in of a configuration. The provider is asked when
// somebody signs in: one that is away keeps nobody else out.
func NewOIDC(cfg OIDCConfig, now func() time.Time, client *http.Client) *OIDC {
	return &OIDC{cfg: cfg, now: now, client: client, begun: map[string]signIn{}}
}

// provider asks the provider for its endpoints, once.
func (o *OIDC) provider(ctx context.Context) (*oidc.Provider, *oauth2.Config, error) {
	o.mu.Lock()
	p := o.known
	o.mu.Unlock()
	if p == nil {
		var err error
		// The provider's keys are fetched later, with the context of now.
		if p, err = oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), o.client), o.cfg.Provider); err != nil {
			return nil, nil, fmt.Errorf("ask the OpenID provider: %w", err)
		}
		o.mu.Lock()
		o.known = p
		o.mu.Unlock()
	}
	return p, &oauth2.Config{
		ClientID: o.cfg.ClientID, ClientSecret: o.cfg.ClientSecret, Endpoint: p.Endpoint(), RedirectURL: o.cfg.Redirect,
		Scopes: []string{oidc.ScopeOpenID, "profile", "email", "groups"},
	}, nil
}

// Begin is where the operator's browser goes, and the state that it brings back,
// which the browser keeps as well.
func (o *OIDC) Begin(ctx context.Context) (to, state string, err error) {
	_, c, err := o.provider(ctx)
	if err != nil {
		return "", "", err
	}
	state = oauth2.GenerateVerifier()
	in := signIn{verifier: oauth2.GenerateVerifier(), nonce: oauth2.GenerateVerifier(), until: o.now().Add(signInLife)}
	o.mu.Lock()
	defer o.mu.Unlock()
	for s, x := range o.begun {
		if !x.until.After(o.now()) {
			delete(o.begun, s)
		}
	}
	if len(o.begun) >= maxSignIns {
		return "", "", fmt.Errorf("%w: too many sign-ins were begun; try again in ten minutes", ErrInvalid)
	}
	o.begun[state] = in
	return c.AuthCodeURL(state, oauth2.S256ChallengeOption(in.verifier), oidc.Nonce(in.nonce)), state, nil
}

// Finish finds out who came back. kept is the state that the browser kept: one
// who was sent somebody else's answer has another, or none.
func (o *OIDC) Finish(ctx context.Context, kept, state, code string) (*Operator, error) {
	o.mu.Lock()
	in, known := o.begun[state]
	same := state != "" && subtle.ConstantTimeCompare([]byte(kept), []byte(state)) == 1
	if same {
		delete(o.begun, state) // it is good once
	}
	o.mu.Unlock()
	if !known || !same || !in.until.After(o.now()) {
		return nil, fmt.Errorf("%w: this sign-in was not begun here, or its time is over", ErrUnknown)
	}
	p, c, err := o.provider(ctx)
	if err != nil {
		return nil, err
	}
	ctx = oidc.ClientContext(ctx, o.client)
	token, err := c.Exchange(ctx, code, oauth2.VerifierOption(in.verifier))
	if err != nil {
		return nil, fmt.Errorf("%w: the provider gives no token", ErrUnknown) // its answer may hold secrets
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return nil, fmt.Errorf("%w: the provider gives no ID token", ErrUnknown)
	}
	id, err := p.Verifier(&oidc.Config{ClientID: o.cfg.ClientID, Now: o.now}).Verify(ctx, raw)
	if err != nil {
		return nil, fmt.Errorf("%w: the ID token does not hold", ErrUnknown)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(in.nonce)) != 1 {
		return nil, fmt.Errorf("%w: the ID token is of another sign-in", ErrUnknown)
	}
	return o.operator(id)
}

// operator reads who somebody is, and the role with the most scopes of their groups.
func (o *OIDC) operator(id *oidc.IDToken) (*Operator, error) {
	var claims map[string]any
	if err := id.Claims(&claims); err != nil {
		return nil, fmt.Errorf("%w: the ID token's claims", ErrUnknown)
	}
	if o.cfg.Claim == "email" && claims["email_verified"] != true {
		return nil, fmt.Errorf("%w: the provider has not verified the address", ErrForbidden)
	}
	who := &Operator{actor: "oidc:" + id.Issuer + " " + id.Subject, name: id.Subject}
	if name, ok := claims["name"].(string); ok && line(name, maxName) {
		who.name = name
	}
	if len(who.actor) > 2*maxName || !line(who.actor, 2*maxName) {
		return nil, fmt.Errorf("%w: the provider's subject is too long to be logged", ErrUnknown)
	}
	for _, g := range texts(claims[o.cfg.Claim]) {
		if r := o.cfg.Roles[g]; len(r.Scopes()) > len(who.scopes) {
			who.role, who.scopes = r, r.Scopes()
		}
	}
	if who.role == "" {
		return nil, fmt.Errorf("%w: none of your groups has a role here", ErrForbidden)
	}
	return who, nil
}

// texts reads a claim that is a text or a list of texts.
func texts(v any) (out []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		for _, x := range v {
			if s, ok := x.(string); ok {
				out = append(out, s)
			}
		}
	}
	return out
}
