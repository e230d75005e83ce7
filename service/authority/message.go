package authority

import (
	"errors"
	"net/http"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/pki"
	ca "github.com/lares-drm/lares/security/pki/authority"
)

// Paths of the endpoints. Source: docs/spec/authority-api.md.
const (
	PathEnroll   = "/ca/v1/enroll"
	PathTrust    = "/ca/v1/trust"
	PathHead     = "/rsl/v1/head"
	PathSnapshot = "/rsl/v1/snapshot"
	PathDelta    = "/rsl/v1/delta"
	PathSunsets  = "/rsl/v1/sunsets"
	PathSunset   = "/ca/v1/sunset"
	PathTime     = "/time/v1"
)

// Media types. Source: docs/spec/authority-api.md.
const (
	typeCBOR   = "application/cbor"
	typePacked = "application/octet-stream"
	typeCOSE   = "application/cose"
)

// Limits in bytes. Source: docs/spec/authority-api.md.
const (
	maxEnroll = 8 << 10
	maxTrust  = 32 << 10
	maxSunset = 1 << 20
	maxSend   = 16 << 10 // a notice or withdrawal that is sent
	maxSent   = 64       // the answer to it

	maxProblem = 4 << 10 // an answer that says why not
)

// Request asks for certificates over the network.
type Request struct {
	Role     pki.Role
	Class    pki.Class // of a device; 0: the voucher's, or the first active one
	Signing  []byte    // PKCS#10 of the signing key
	Delivery []byte    // PKCS#10 of the delivery key
	Voucher  string    // "" where the authority lets devices in without
	Level    pki.Level // that the keys' storage reaches; the certificate says no more
	Anchor   pki.Anchor
}

type enrollRequest struct {
	Role     uint8  `cbor:"1,keyasint"`
	Class    uint32 `cbor:"2,keyasint"`
	Signing  []byte `cbor:"3,keyasint"`
	Delivery []byte `cbor:"4,keyasint"`
	Voucher  string `cbor:"5,keyasint"`
	Level    uint8  `cbor:"6,keyasint,omitempty"`
	Anchor   uint8  `cbor:"7,keyasint,omitempty"`
}

type enrollAnswer struct {
	Chain    [][]byte `cbor:"1,keyasint"`
	Delivery []byte   `cbor:"2,keyasint"`
	Roots    [][]byte `cbor:"3,keyasint"`
}

func enrollLimit() wire.Limit { return wire.Limit{Bytes: maxTrust, Items: 16, Depth: 3} }

// renewRequest is the body of a RENEW frame.
type renewRequest struct {
	Chain    [][]byte `cbor:"1,keyasint"` // that the party has
	Signing  []byte   `cbor:"2,keyasint"`
	Delivery []byte   `cbor:"3,keyasint"`
}

// renewAnswer is the body of the RENEW frame that answers: certificates, or why not.
type renewAnswer struct {
	Chain    [][]byte `cbor:"1,keyasint,omitempty"`
	Delivery []byte   `cbor:"2,keyasint,omitempty"`
	Roots    [][]byte `cbor:"3,keyasint,omitempty"`
	Code     string   `cbor:"4,keyasint,omitempty"` // of outcomes
	Detail   string   `cbor:"5,keyasint,omitempty"`
}

// maxDetail is the longest explanation of a refusal in bytes. Source: docs/spec/authority-api.md.
const maxDetail = 512

// Errors that both sides know.
var (
	ErrVoucher   = ca.ErrVoucher
	ErrEpoch     = ca.ErrNoEpoch
	ErrNotDue    = ca.ErrNotDue
	ErrProof     = ca.ErrProof
	ErrSunset    = ca.ErrSunset
	ErrOlder     = ca.ErrOlder
	ErrFull      = ca.ErrFull
	ErrRefused   = errors.New("authority: the request cannot be certified")
	ErrMalformed = errors.New("authority: malformed request")
	ErrBusy      = errors.New("authority: too many requests, try again in a minute")
	ErrAway      = errors.New("authority: does not answer")
)

// problem is the JSON of an answer that is not 200 (RFC 9457).
type problem struct {
	Type   string `json:"type"` // about:blank
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"` // stable
	Detail string `json:"detail,omitempty"`
}

// outcomes are the stable codes. Source: docs/spec/authority-api.md.
var outcomes = []struct {
	err    error
	code   string
	status int
}{
	{ErrMalformed, "malformed", http.StatusBadRequest},
	{pki.ErrRequest, "signing_request", http.StatusBadRequest},
	{ErrVoucher, "voucher", http.StatusForbidden},
	{ErrEpoch, "no_epoch", http.StatusNotFound},
	{ErrNotDue, "not_due", http.StatusConflict},
	{ErrRefused, "refused", http.StatusConflict},
	{ErrProof, "proof", http.StatusForbidden},
	{ErrOlder, "older", http.StatusConflict},
	{ErrSunset, "sunset", http.StatusConflict},
	{ErrFull, "full", http.StatusServiceUnavailable},
	{ErrBusy, "busy", http.StatusTooManyRequests},
	{ErrAway, "unavailable", http.StatusServiceUnavailable},
}
