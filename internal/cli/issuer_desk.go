package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/internal/operator"
)

// issuerAuditKey is the file of the key that signs the operators' log: 0600, PEM.
// Its public half, audit.pub, is for whoever checks the log.
const (
	issuerAuditKey = "audit.key"
	issuerAuditPub = "audit.pub"
)

// auditKey reads the key of the operators' log, and makes one where there is none.
func auditKey(dir string) (*ecdsa.PrivateKey, error) {
	name := filepath.Join(dir, issuerAuditKey)
	text, err := secretFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return newAuditKey(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("read the key of the operators' log: %w", err)
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, fmt.Errorf("%s is damaged: put it back from a backup", name)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := k.(*ecdsa.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("%s is damaged: put it back from a backup", name)
	}
	return key, nil
}

func newAuditKey(dir string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		writeDurably(filepath.Join(dir, issuerAuditPub), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})),
		writeDurably(filepath.Join(dir, issuerAuditKey), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	return key, err
}

// ownerHash reads the hash of the owner's token.
func ownerHash(dir string) (operator.Hash, error) {
	text, err := os.ReadFile(filepath.Join(dir, issuerTokenHash))
	if err != nil {
		return operator.Hash{}, fmt.Errorf("read the token's hash: %w", err)
	}
	hash, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(hash) != 32 {
		return operator.Hash{}, fmt.Errorf("%s is damaged", issuerTokenHash)
	}
	return operator.Hash(hash), nil
}

// desk is who may do what at the issuer.
func (s *issuerServer) newDesk(env *Env, dir string, twoPersons bool) (*operator.Desk, error) {
	hash, err := ownerHash(dir)
	if err != nil {
		return nil, err
	}
	key, err := auditKey(dir)
	if err != nil {
		return nil, err
	}
	return operator.NewDesk(operator.Config{
		Store: s.db.Operators(), Now: env.Now, OwnerHash: hash, Key: key, Issuer: string(s.cfg.Issuer), TwoPersons: twoPersons,
	})
}

// console is the operators' pages.
func (s *issuerServer) console(desk *operator.Desk, api http.Handler) (http.Handler, error) {
	cfg := httpd.ConsoleConfig{API: api, Desk: desk, Name: s.cfg.Name, URL: s.public, Now: s.env.Now, Log: s.log, Figures: func() ([]httpd.Figure, error) {
		all, err := s.metrics.Figures()
		out := make([]httpd.Figure, len(all))
		for i, x := range all {
			out[i] = httpd.Figure(x)
		}
		return out, err
	}}
	if s.flags.oidc != "" {
		text, err := secretFile(s.flags.oidc)
		if err != nil {
			return nil, fmt.Errorf("read the sign-in file: %w", err)
		}
		o, err := operator.ParseOIDC([]byte(text))
		if err != nil {
			return nil, err
		}
		cfg.OIDC = operator.NewOIDC(o, s.env.Now, &http.Client{Timeout: 15 * time.Second})
	}
	return httpd.NewConsole(cfg)
}
