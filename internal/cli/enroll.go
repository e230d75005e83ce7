package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/authority"
	"github.com/lares-drm/lares/service/home"
)

// authorityOf is the authority at a URL, or a home server that relays it.
func authorityOf(url string) *authority.Client { return &authority.Client{URL: url} }

// enroll gets a module its certificates and its first view of time and
// revocation.
func enroll(ctx context.Context, module *trem.Client, ca string, role pki.Role, voucher string) error {
	req, err := module.SigningRequest(ctx)
	if err != nil {
		return err
	}
	e, err := authorityOf(ca).Enroll(ctx, authority.Request{
		Role: role, Signing: req.Signing, Delivery: req.Delivery, Voucher: voucher, Level: pki.Level(req.Level), Anchor: pki.Anchor(req.Anchor),
	})
	if err != nil {
		return err
	}
	if err := module.Enroll(ctx, e); err != nil {
		return fmt.Errorf("store the certificate: %w", err)
	}
	return learn(ctx, module, nil, ca)
}

// learn gives a module the newest time and revocation state of an authority.
// web reaches it; nil is a client of the authority's own.
func learn(ctx context.Context, module *trem.Client, web *http.Client, from string) error {
	a := &authority.Client{URL: from, HTTP: web}
	err := learnTime(ctx, module, a)
	if errors.Is(err, authority.ErrAway) && relayedTime(ctx, module, web, from) == nil {
		err = nil
	}
	return errors.Join(err, learnState(ctx, module, a))
}

func learnTime(ctx context.Context, module *trem.Client, a *authority.Client) error {
	nonce, err := module.Nonce(ctx)
	if err != nil {
		return err
	}
	l, err := a.Time(ctx, nonce)
	if err != nil {
		return fmt.Errorf("ask for the time: %w", err)
	}
	return module.Learn(ctx, l)
}

// relayedTime asks a house for the time that its own module knows, when the
// authority behind it is away.
func relayedTime(ctx context.Context, module *trem.Client, web *http.Client, from string) error {
	nonce, err := module.Nonce(ctx)
	if err != nil {
		return err
	}
	data, err := fetch(ctx, cmp.Or(web, http.DefaultClient), strings.TrimSuffix(from, "/")+home.PathRelayedTime+"?nonce="+hex.EncodeToString(nonce))
	if err != nil {
		return err
	}
	var got trem.RelayedTime
	if err := json.Unmarshal(data, &got); err != nil {
		return fmt.Errorf("read the house's answer: %w", err)
	}
	return module.Learn(ctx, trem.Learned{Relayed: &got})
}

// learnState asks for the step from the state that the module has, and for all of
// the state where there is no step or it does not fit.
func learnState(ctx context.Context, module *trem.Client, a *authority.Client) error {
	st, err := module.Status(ctx)
	if err != nil {
		return err
	}
	l, err := a.State(ctx, st.Epoch)
	if err != nil {
		return fmt.Errorf("ask for the revocation state: %w", err)
	}
	err = module.Learn(ctx, l)
	if e, ok := errors.AsType[*trem.Error](err); !ok || e.Code != trem.CodeRejected || len(l.Delta) == 0 {
		return err
	}
	if l, err = a.State(ctx, 0); err != nil {
		return fmt.Errorf("ask for the revocation state: %w", err)
	}
	return module.Learn(ctx, l)
}

// deviceOf is the device ID of a chain's leaf.
func deviceOf(chain [][]byte) (ident.Device, error) {
	if len(chain) == 0 {
		return ident.Device{}, errors.New("no certificate")
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return ident.Device{}, fmt.Errorf("read certificate: %w", err)
	}
	return ident.DeviceOf(leaf.RawSubjectPublicKeyInfo), nil
}

// newMark is 32 random bytes.
func newMark() []byte {
	b := make([]byte, 32)
	rand.Read(b) // never returns an error
	return b
}
