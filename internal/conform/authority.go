package conform

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/security/pki"
	ca "github.com/lares-drm/lares/security/pki/authority"
	"github.com/lares-drm/lares/security/revocation"
	"github.com/lares-drm/lares/service/authority"
)

func withState() []Role { return []Role{Authority, Home} }

// stateOf reads head, trust and snapshot, and verifies one by the other.
func (s *subject) stateOf(ctx context.Context) (*revocation.State, ca.Trust, *pki.TrustStore, error) {
	var t ca.Trust
	head, err := s.wantStatus(ctx, "head", http.MethodGet, authority.PathHead, "", nil, http.StatusOK)
	if err != nil {
		return nil, t, nil, err
	}
	a, err := s.wantStatus(ctx, "trust", http.MethodGet, authority.PathTrust, "", nil, http.StatusOK)
	if err == nil {
		err = wire.Unmarshal(a.body, &t, wire.Limit{Bytes: 64 << 10, Items: 64, Depth: 4})
	}
	if err != nil {
		return nil, t, nil, fmt.Errorf("trust: expected roots and signers: %w", err)
	}
	store, err := pki.NewTrustStore(t.Roots...)
	if err != nil {
		return nil, t, nil, fmt.Errorf("trust: %w", err)
	}
	snapshot, err := s.wantStatus(ctx, "snapshot", http.MethodGet, authority.PathSnapshot, "", nil, http.StatusOK)
	if err != nil {
		return nil, t, nil, err
	}
	if len(head.body) != revocation.HeadLen {
		return nil, t, nil, fmt.Errorf("head: expected %d bytes, seen %d", revocation.HeadLen, len(head.body))
	}
	state, err := revocation.ParseSnapshot(snapshot.body, head.body, &pki.Verifier{Trust: store}, t.StateSigner, time.Time{})
	if err != nil {
		err = fmt.Errorf("expected a snapshot that gives the head's root under the state signer: %w", err)
	}
	return state, t, store, err
}

func revocationChecks() []check {
	return []check{
		{"revocation.md Snapshot", "head, chain and snapshot hold together, and the root is that of the tree", withState(), func(ctx context.Context, s *subject) error {
			_, _, _, err := s.stateOf(ctx)
			return err
		}},
		{"revocation.md Freshness", "the state is not stale: its next update is ahead", withState(), func(ctx context.Context, s *subject) error {
			state, _, _, err := s.stateOf(ctx)
			if err == nil && state.Head().NextUpdate <= s.cfg.Now().UnixMilli() {
				err = fmt.Errorf("expected a next update behind now, seen %s", time.UnixMilli(state.Head().NextUpdate).UTC().Format(time.RFC3339))
			}
			return err
		}},
		{"authority-api.md", "an epoch that is not kept, and a step that leads backwards, are refused", withState(), func(ctx context.Context, s *subject) error {
			a, err := s.ask(ctx, http.MethodGet, authority.PathSnapshot+"?epoch=99999999", "", nil)
			if err == nil && (a.status < 400 || a.status == http.StatusInternalServerError) {
				err = fmt.Errorf("epoch 99999999: expected a refusal, seen HTTP status %d", a.status)
			}
			b, err2 := s.ask(ctx, http.MethodGet, authority.PathDelta+"/9/3", "", nil)
			if err2 == nil && (b.status < 400 || b.status == http.StatusInternalServerError) {
				err2 = fmt.Errorf("a step from 9 to 3: expected a refusal, seen HTTP status %d", b.status)
			}
			return errors.Join(err, err2)
		}},
		{"authority-api.md", "who has no voucher is not enrolled", []Role{Authority}, func(ctx context.Context, s *subject) error {
			a, err := s.ask(ctx, http.MethodPost, authority.PathEnroll, "application/cbor", []byte{0xa0})
			if err == nil && (a.status < 400 || a.status >= 500 || a.typ != "application/problem+json") {
				err = fmt.Errorf("an empty request: expected a problem 4xx, seen HTTP status %d, %q", a.status, a.typ)
			}
			return err
		}},
		{"sunset.md 3", "the notices of sunset that stand are signed by the state signer, and their leaves have the flag", withState(), checkSunsets},
	}
}

func timeChecks() []check {
	return []check{
		{"time.md", "a time token repeats the nonce, is signed by the time signer and states the time", withState(), func(ctx context.Context, s *subject) error {
			state, t, store, err := s.stateOf(ctx)
			if err != nil {
				return err
			}
			var nonce [revocation.NonceLen]byte
			rand.Read(nonce[:]) // never returns an error
			a, err := s.wantStatus(ctx, "time", http.MethodGet, authority.PathTime+"?nonce="+hex.EncodeToString(nonce[:]), "", nil, http.StatusOK)
			if err != nil {
				return err
			}
			at, err := revocation.VerifyTime(a.body, t.TimeSigner, &pki.Verifier{Trust: store, Status: state}, nonce)
			if err != nil {
				return fmt.Errorf("expected a token over the nonce by the time signer: %w", err)
			}
			if d := time.UnixMilli(at).Sub(s.cfg.Now()).Abs(); d > 5*time.Minute {
				return fmt.Errorf("expected the time within five minutes of the judge's, seen %v apart", d)
			}
			return nil
		}},
		{"time.md", "a nonce of another length is refused", withState(), func(ctx context.Context, s *subject) error {
			a, err := s.ask(ctx, http.MethodGet, authority.PathTime+"?nonce=00", "", nil)
			if err == nil && (a.status < 400 || a.status == http.StatusInternalServerError) {
				err = fmt.Errorf("one byte: expected a refusal, seen HTTP status %d", a.status)
			}
			return err
		}},
	}
}

func checkSunsets(ctx context.Context, s *subject) error {
	state, t, _, err := s.stateOf(ctx)
	if err != nil {
		return err
	}
	a, err := s.wantStatus(ctx, "notices", http.MethodGet, authority.PathSunsets, "", nil, http.StatusOK)
	if err != nil {
		return err
	}
	var all [][]byte
	if err := wire.Unmarshal(a.body, &all, wire.Limit{Bytes: 1 << 20, Items: 1024, Depth: 2}); err != nil {
		return fmt.Errorf("expected an array of notices, seen %d bytes: %w", len(a.body), err)
	}
	signer, err := x509.ParseCertificate(t.StateSigner[0])
	if err != nil {
		return err
	}
	for _, data := range all {
		n, since, err := license.ParseStanding(data, signer.PublicKey)
		if err != nil {
			return fmt.Errorf("expected the state signer's word: %w", err)
		}
		if leaf, ok := state.Issuer(n.Issuer); !ok || !leaf.Sunset || leaf.LastSeen != since {
			return fmt.Errorf("issuer %v: expected a leaf with the flag, last seen when its notice began to stand, seen %+v", n.Issuer, leaf)
		}
	}
	return nil
}
