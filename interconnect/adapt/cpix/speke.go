package cpix

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"slices"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
)

// Names of the SPEKE v2 API. Source: SPEKE API v2.0 and v2.1; the path is local.
const (
	SPEKEPath      = "/speke/v2.0/copyProtection"
	versionHeader  = "X-Speke-Version"
	agentHeader    = "X-Speke-User-Agent"
	maxSPEKE       = 256 << 10 // bytes of a request
	unknownVersion = "Unsupported SPEKE version"
	unknownCPIX    = "Unsupported CPIX version"
)

// cpixOf is the CPIX version that belongs to a SPEKE version.
func cpixOf(speke string) string {
	return map[string]string{"2.0": "2.3", "2.1": "2.4"}[speke]
}

// TrackKey is one key that an encryptor asks for.
type TrackKey struct {
	KID    ident.Key
	Tier   content.Tier // the best that the key may protect, by its usage rule
	Scheme cenc.Scheme
}

// Provider makes content keys and hands them to the issuer's trusted module.
type Provider interface {
	// ContentKeys gives the key of each entry, for one content the same at every
	// call, after the trusted module has them too. It fails with ErrContent where
	// the content has other keys already.
	ContentKeys(ctx context.Context, id ident.Content, keys []TrackKey) ([]cenc.ContentKey, error)
}

// ErrContent is returned by a Provider for a content that has other keys.
var ErrContent = errors.New("cpix: the content has other keys already")

// SPEKE is the configuration of a key provider for packagers.
type SPEKE struct {
	Provider Provider          // required
	User     string            // required: who may ask, HTTP basic authentication over TLS
	Password [sha256.Size]byte // required: SHA-256 of the password
	// Clear permits answers with keys in the clear, for a channel that protects
	// them. Default: an encryptor sends its certificate.
	Clear bool
	// Signal fills in what was asked for of a DRM system: an operator's own data.
	// It reports false for a system that is not offered. Default: Signaling.
	Signal func(s System) (System, bool)
	Log    *slog.Logger // required; no key and no document is logged
}

// Handler serves POST requests with a CPIX document, as SPEKE API v2.0 and v2.1
// have it. Key rotation is not offered: a document with key periods is refused.
func (c SPEKE) Handler() (http.Handler, error) {
	if c.Provider == nil || c.User == "" || c.Password == ([sha256.Size]byte{}) || c.Log == nil {
		return nil, errors.New("cpix: a SPEKE endpoint needs a provider, credentials and a log")
	}
	if c.Signal == nil {
		c.Signal = Signaling
	}
	return http.HandlerFunc(c.serve), nil
}

// refusal is an answer with a status and words for the encryptor's log.
type refusal struct {
	status int
	words  string
}

func (r *refusal) Error() string { return r.words }

func refuse(status int, format string, args ...any) error {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

func (c SPEKE) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(agentHeader, "Lares")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	version := r.Header.Get(versionHeader)
	if w.Header().Set(versionHeader, version); cpixOf(version) == "" {
		w.Header().Set(versionHeader, "2.0")
	}
	body, err := c.answer(w, r, version)
	if err != nil {
		bad, ok := errors.AsType[*refusal](err)
		if !ok {
			c.Log.LogAttrs(r.Context(), slog.LevelError, "content keys not made", slog.Any("error", err))
			bad = &refusal{http.StatusInternalServerError, "The keys could not be made; try again later."}
		}
		if bad.status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Basic realm="speke", charset="UTF-8"`)
		}
		http.Error(w, bad.words, bad.status)
		return
	}
	w.Header().Set("Content-Type", MediaType)
	_, _ = w.Write(body) //nolint:gosec // the encryptor is gone; and it is no page: its Content-Type is set, and nosniff
}

func (c SPEKE) answer(w http.ResponseWriter, r *http.Request, version string) ([]byte, error) {
	if !c.knows(r) {
		return nil, refuse(http.StatusUnauthorized, "Credentials of the key provider are required.")
	}
	if r.Method != http.MethodPost {
		return nil, refuse(http.StatusMethodNotAllowed, "Use POST with a CPIX document.")
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != MediaType {
		return nil, refuse(http.StatusUnsupportedMediaType, "The Content-Type is application/xml.")
	}
	if cpixOf(version) == "" {
		return nil, refuse(http.StatusBadRequest, unknownVersion)
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxSPEKE))
	if err != nil {
		return nil, refuse(http.StatusRequestEntityTooLarge, "A request has at most %d bytes.", maxSPEKE)
	}
	d, err := Parse(data, Trust{})
	if err != nil { // what Parse says of a document names no value of it
		return nil, refuse(http.StatusBadRequest, "Malformed CPIX document: %v", err)
	}
	defer d.Clear()
	return c.keys(r.Context(), d, version)
}

// knows compares credentials in a time that does not depend on them.
func (c SPEKE) knows(r *http.Request) bool {
	user, password, ok := r.BasicAuth()
	given, want := sha256.Sum256([]byte(user)), sha256.Sum256([]byte(c.User))
	sum := sha256.Sum256([]byte(password))
	return subtle.ConstantTimeCompare(given[:], want[:])&subtle.ConstantTimeCompare(sum[:], c.Password[:]) == 1 && ok
}

// keys answers a document that asks for keys.
func (c SPEKE) keys(ctx context.Context, d *Document, version string) ([]byte, error) {
	if d.Version != cpixOf(version) {
		return nil, refuse(http.StatusBadRequest, unknownCPIX)
	}
	var id ident.Content
	if id.UnmarshalBinary([]byte(d.ContentID)) != nil {
		return nil, refuse(http.StatusBadRequest, "CPIX@contentId has 1 to %d bytes.", ident.MaxOpaque)
	}
	asked, err := contract(d)
	if err != nil {
		return nil, err
	}
	out := Options{Clear: c.Clear}
	for _, x := range d.Deliveries {
		cert, err := x509.ParseCertificate(x.Certificate)
		if err == nil {
			_, err = recipientKey(cert)
		}
		if err != nil || x.DocumentKey != nil {
			return nil, refuse(http.StatusBadRequest, "A recipient is an RSA certificate of at least %d bits, alone in its DeliveryData.", minRSA)
		}
		out.Recipients = append(out.Recipients, cert)
	}
	if len(out.Recipients) == 0 && !c.Clear {
		return nil, refuse(http.StatusBadRequest, "Keys are given out wrapped: send a DeliveryData with the encryptor's certificate.")
	}
	for i := range d.Systems {
		filled, ok := c.Signal(d.Systems[i])
		if !ok {
			return nil, refuse(http.StatusUnprocessableEntity, "What is asked for of the DRM system %s is not offered.", d.Systems[i].System)
		}
		d.Systems[i] = filled
	}
	keys, err := c.Provider.ContentKeys(ctx, id, asked)
	if errors.Is(err, ErrContent) {
		return nil, refuse(http.StatusConflict, "The content has other keys already: use another contentId.")
	}
	if err != nil || len(keys) != len(d.Keys) {
		return nil, errors.Join(err, fmt.Errorf("%d keys for %d", len(keys), len(d.Keys)))
	}
	for i := range d.Keys {
		d.Keys[i].Value = keys[i]
	}
	return d.Write(out)
}

// contract checks the encryption contract and gives what is asked for. Each
// refusal says what is missing.
func contract(d *Document) ([]TrackKey, error) {
	bad := func(format string, args ...any) error {
		return refuse(http.StatusUnprocessableEntity, "Malformed encryption contract: "+format, args...)
	}
	switch {
	case len(d.Periods) > 0 || slices.ContainsFunc(d.Rules, func(r Rule) bool { return len(r.Periods) > 0 }):
		return nil, refuse(http.StatusUnprocessableEntity, "Key rotation is not offered: leave out ContentKeyPeriodList.")
	case len(d.Keys) == 0 || len(d.Keys) > content.MaxDeliveryKeys:
		return nil, bad("1 to %d keys are asked for at a time.", content.MaxDeliveryKeys)
	case len(d.Systems) == 0:
		return nil, bad("DRMSystemList is missing.")
	case len(d.Rules) != len(d.Keys):
		return nil, bad("each ContentKey has one ContentKeyUsageRule.")
	}
	var out []TrackKey
	tracks := map[string]bool{}
	for _, k := range d.Keys {
		if k.Scheme == 0 {
			return nil, bad("ContentKey@commonEncryptionScheme is missing.")
		}
		if k.Value.Valid() || k.Wrapped != nil {
			return nil, bad("a request holds no key.")
		}
		i := slices.IndexFunc(d.Rules, func(r Rule) bool { return r.KID == k.KID })
		if i < 0 {
			return nil, bad("each ContentKey has one ContentKeyUsageRule.")
		}
		r := &d.Rules[i]
		if tracks[r.TrackType] {
			return nil, bad("an intendedTrackType stands twice.")
		}
		if tracks[r.TrackType] = true; !r.fits() || r.TrackType == "ALL" && len(d.Rules) > 1 {
			return nil, bad("intendedTrackType and filters do not fit each other.")
		}
		if !slices.ContainsFunc(d.Systems, func(s System) bool { return s.KID == k.KID }) {
			return nil, bad("a ContentKey without a DRMSystem.")
		}
		if k.Scheme != cenc.SchemeCBCS && slices.ContainsFunc(d.Systems, func(s System) bool { return s.KID == k.KID && s.System.String() == fairPlay }) {
			return nil, bad("FairPlay protects with cbcs.")
		}
		out = append(out, TrackKey{KID: k.KID, Tier: r.tier(), Scheme: k.Scheme})
	}
	return out, nil
}

// fairPlay is the system ID of FairPlay Streaming. Source: DASH-IF identifiers.
const fairPlay = "94ce86fb-07ff-4f43-adb8-93d2fa968ca2"
