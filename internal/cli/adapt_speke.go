package cli

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/interconnect/adapt/cpix"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/issuer"
)

// spekeFlags configure the key provider for packagers. It is off without a file
// of credentials.
type spekeFlags struct {
	credentials string
	clear       bool
}

// spekeSecret is the file in an issuer's folder that its packagers' keys follow from.
const spekeSecret = "speke.secret"

// withSPEKE puts the endpoint in front of an issuer's handler.
func (f *spekeFlags) withSPEKE(dir string, next http.Handler, shop *issuer.Issuer, log *slog.Logger) (http.Handler, error) {
	if f.credentials == "" {
		if f.clear {
			return nil, usage("--speke-clear needs --speke")
		}
		return next, nil
	}
	text, err := secretFile(f.credentials)
	if err != nil {
		return nil, fmt.Errorf("read the credentials of packagers: %w", err)
	}
	user, password, ok := strings.Cut(text, ":")
	if !ok || user == "" || len(password) < minPassword {
		return nil, usage("--speke %s: want one line user:password with a password of at least %d bytes", f.credentials, minPassword)
	}
	secret, err := keptSecret(filepath.Join(dir, spekeSecret))
	if err != nil {
		return nil, err
	}
	cert, err := readCertificate(filepath.Join(dir, issuerDelivery))
	if err != nil {
		return nil, err
	}
	h, err := cpix.SPEKE{
		Provider: &spekeKeys{secret: secret, delivery: cert.Raw, register: shop.RegisterContent},
		User:     user, Password: sha256.Sum256([]byte(password)), Clear: f.clear, Log: log,
	}.Handler()
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle(cpix.SPEKEPath, h)
	mux.Handle("/", next)
	return mux, nil
}

// minPassword is the shortest password of packagers, in bytes. Source: local.
const minPassword = 16

// keptSecret reads 32 bytes from a file of mode 0600, and makes it where there
// is none.
func keptSecret(path string) ([]byte, error) {
	text, err := secretFile(path)
	if errors.Is(err, os.ErrNotExist) {
		secret := make([]byte, sha256.Size)
		rand.Read(secret)
		return secret, writeDurably(path, []byte(hex.EncodeToString(secret)+"\n"))
	}
	if err != nil {
		return nil, fmt.Errorf("read the secret of packagers' keys: %w", err)
	}
	secret, err := hex.DecodeString(text)
	if err != nil || len(secret) != sha256.Size {
		return nil, fmt.Errorf("%s is damaged: restore it from a backup, the keys of packaged content follow from it", path)
	}
	return secret, nil
}

// spekeKeys makes packagers' keys and hands them to the issuer's module.
type spekeKeys struct {
	secret   []byte
	delivery []byte // certificate of the module's delivery key, DER
	register func(context.Context, []byte) (issuer.Content, error)
}

// peakRate is the peak of a tier in bytes a second, which SPEKE does not say.
// Source: local, docs/spec/cpix.md.
func peakRate(t content.Tier) uint64 {
	switch t {
	case content.Audio:
		return 64_000
	case content.SD:
		return 1_000_000
	case content.HD:
		return 4_000_000
	default: // UHD, and what nobody limits
		return 16_000_000
	}
}

// ContentKeys derives the keys, delivers them, and gives them out only then.
func (k *spekeKeys) ContentKeys(ctx context.Context, id ident.Content, asked []cpix.TrackKey) ([]cenc.ContentKey, error) {
	d := content.Delivery{Content: id}
	var keys []cenc.ContentKey
	for _, a := range asked {
		key, err := k.key(id, a.KID)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
		d.Keys = append(d.Keys, content.TierKey{KID: a.KID, Tier: a.Tier, Key: key, BPS: peakRate(a.Tier)})
	}
	sealed, err := content.SealKeys(k.delivery, &d)
	if err == nil {
		_, err = k.register(ctx, sealed)
	}
	if refusal, ok := errors.AsType[*trem.Error](err); ok && refusal.Code == trem.CodeRejected {
		return nil, fmt.Errorf("%w: %w", cpix.ErrContent, err)
	}
	return keys, err
}

// key is the first 16 bytes of an HMAC over what the key is for.
func (k *spekeKeys) key(id ident.Content, kid ident.Key) (cenc.ContentKey, error) {
	m := hmac.New(sha256.New, k.secret)
	m.Write([]byte("lares speke\x00" + string(id) + "\x00"))
	m.Write(kid[:])
	sum := m.Sum(nil)
	defer clear(sum)
	return cenc.NewContentKey(sum[:cenc.KeySize])
}
