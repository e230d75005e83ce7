package edhoc

import (
	"crypto"
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
)

// COSE header parameters that name a credential (IANA COSE Header Parameters).
const (
	labelKID     = 4
	labelX5Chain = 33
	labelX5T     = 34
)

// COSE numbers of the certificate hashes of x5t.
const (
	algSHA256_64 = -15 // 8 bytes
	algSHA256    = -16 // 32 bytes
)

// maxChain is how many certificates an x5chain may have. Source: local.
const maxChain = 8

// Identity is who one side of an exchange is.
type Identity struct {
	Signer crypto.Signer // P-256, or Ed25519 for suite 0
	ID     IDCred        // how the credential is named on the wire
	Cred   []byte        // CRED_x: the credential as one encoded CBOR item
}

// CertCred is CRED_x of an X.509 certificate: a byte string around its DER
// (RFC 9528 section 3.5.2).
func CertCred(der []byte) []byte { return bstr(der) }

// IDCred is ID_CRED_x, the name of a credential: exactly one of an X.509 chain,
// the hash of a certificate, or a key ID.
type IDCred struct {
	Chain [][]byte // x5chain: DER, leaf first
	Hash  []byte   // x5t: 8 bytes of SHA-256, or all 32
	KID   []byte   // kid
}

// X5Chain names a credential by the whole chain.
func X5Chain(chain [][]byte) IDCred { return IDCred{Chain: chain} }

// X5T names a certificate by the first 8 bytes of its SHA-256 (RFC 9360).
func X5T(der []byte) IDCred {
	h := wire.X5T(der)
	return IDCred{Hash: h[:]}
}

type hashOf struct {
	_    struct{} `cbor:",toarray"`
	Alg  int
	Hash []byte
}

// header is ID_CRED_x as a COSE header map, which is what gets signed.
func (id IDCred) header() ([]byte, error) {
	switch {
	case len(id.Chain) == 1 && id.Hash == nil && id.KID == nil:
		return wire.Marshal(map[int][]byte{labelX5Chain: id.Chain[0]})
	case len(id.Chain) > 1 && len(id.Chain) <= maxChain && id.Hash == nil && id.KID == nil:
		return wire.Marshal(map[int][][]byte{labelX5Chain: id.Chain})
	case len(id.Hash) == wire.X5TLen && id.Chain == nil && id.KID == nil:
		return wire.Marshal(map[int]hashOf{labelX5T: {Alg: algSHA256_64, Hash: id.Hash}})
	case len(id.Hash) == 32 && id.Chain == nil && id.KID == nil:
		return wire.Marshal(map[int]hashOf{labelX5T: {Alg: algSHA256, Hash: id.Hash}})
	case id.KID != nil && id.Chain == nil && id.Hash == nil:
		return wire.Marshal(map[int][]byte{labelKID: id.KID})
	}
	return nil, fmt.Errorf("edhoc: ID_CRED names not exactly one credential")
}

// plain is ID_CRED_x as it goes into a plaintext: a lone kid is shortened to a
// byte string or an integer (RFC 9528 section 3.5.3.2).
func (id IDCred) plain() ([]byte, error) {
	if id.KID != nil && id.Chain == nil && id.Hash == nil {
		return encodeID(id.KID), nil
	}
	return id.header()
}

func parseIDCred(item []byte) (IDCred, error) {
	if len(item) > 0 && item[0]>>5 != 5 {
		kid, err := parseID(item)
		return IDCred{KID: kid}, err
	}
	var m map[int]wire.RawMessage
	if err := wire.Unmarshal(item, &m, wire.Limit{Bytes: MaxMessage, Items: maxChain}); err != nil || len(m) != 1 {
		return IDCred{}, fmt.Errorf("%w: ID_CRED", ErrMalformed)
	}
	for label, value := range m {
		switch label {
		case labelX5Chain:
			return parseChain(value)
		case labelX5T:
			return parseHash(value)
		}
	}
	return IDCred{}, fmt.Errorf("%w: type of ID_CRED", ErrRejected)
}

func parseChain(value []byte) (IDCred, error) {
	var one []byte
	if value[0]>>5 == 2 {
		if err := wire.Unmarshal(value, &one, wire.Limit{Bytes: MaxMessage}); err != nil || len(one) == 0 {
			return IDCred{}, fmt.Errorf("%w: x5chain", ErrMalformed)
		}
		return IDCred{Chain: [][]byte{one}}, nil
	}
	var all [][]byte
	if err := wire.Unmarshal(value, &all, wire.Limit{Bytes: MaxMessage, Items: maxChain}); err != nil || len(all) < 2 {
		return IDCred{}, fmt.Errorf("%w: x5chain", ErrMalformed)
	}
	for _, der := range all {
		if len(der) == 0 {
			return IDCred{}, fmt.Errorf("%w: x5chain", ErrMalformed)
		}
	}
	return IDCred{Chain: all}, nil
}

func parseHash(value []byte) (IDCred, error) {
	var h hashOf
	if err := wire.Unmarshal(value, &h, wire.Limit{Bytes: 64, Items: 2}); err != nil {
		return IDCred{}, fmt.Errorf("%w: x5t", ErrMalformed)
	}
	if h.Alg == algSHA256_64 && len(h.Hash) == wire.X5TLen || h.Alg == algSHA256 && len(h.Hash) == 32 {
		return IDCred{Hash: h.Hash}, nil
	}
	return IDCred{}, fmt.Errorf("%w: hash of x5t", ErrRejected)
}
