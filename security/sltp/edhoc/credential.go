package edhoc

import (
	"crypto"
	"fmt"
	"slices"

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
	Chain  [][]byte // x5chain: DER, leaf first
	Packed []byte   // Chain as PackedChain makes it, when it travels so; else nil
	Hash   []byte   // x5t: 8 bytes of SHA-256, or all 32
	KID    []byte   // kid
}

// X5Chain names a credential by the whole chain.
func X5Chain(chain [][]byte) IDCred { return IDCred{Chain: chain} }

// X5T names a certificate by the first 8 bytes of its SHA-256 (RFC 9360).
func X5T(der []byte) IDCred {
	h := wire.X5T(der)
	return IDCred{Hash: h[:]}
}

// header is ID_CRED_x as a COSE header map, which is what gets signed.
func (id IDCred) header() ([]byte, error) { return id.appendHeader(make([]byte, 0, id.room())) }

// room is how many bytes a header map has at most.
func (id IDCred) room() int {
	const heads, each = 16, 3 // of the map, of each certificate: none that fits a message needs more
	if id.Packed != nil {
		return heads + len(id.Packed)
	}
	return heads + size(id.Chain) + each*len(id.Chain) + len(id.Hash) + len(id.KID)
}

func (id IDCred) appendHeader(dst []byte) ([]byte, error) {
	switch {
	case len(id.Chain) >= 1 && id.Packed != nil && id.Hash == nil && id.KID == nil:
		return appendBytes(appendMap(dst, labelPacked), id.Packed), nil
	case len(id.Chain) >= 1 && len(id.Chain) <= maxChain && id.Hash == nil && id.KID == nil:
		return appendChain(appendMap(dst, labelX5Chain), id.Chain), nil
	case len(id.Hash) == wire.X5TLen && id.Chain == nil && id.KID == nil:
		return appendBytes(appendInt(append(appendMap(dst, labelX5T), pair), algSHA256_64), id.Hash), nil
	case len(id.Hash) == 32 && id.Chain == nil && id.KID == nil:
		return appendBytes(appendInt(append(appendMap(dst, labelX5T), pair), algSHA256), id.Hash), nil
	case id.KID != nil && id.Chain == nil && id.Hash == nil:
		return appendBytes(appendMap(dst, labelKID), id.KID), nil
	}
	return nil, fmt.Errorf("edhoc: ID_CRED names not exactly one credential")
}

// Initial bytes of a map of one pair and of an array of two.
const (
	onePair = majorMap<<5 | 1
	pair    = majorArray<<5 | 2
)

// appendMap begins a map of one pair.
func appendMap(dst []byte, label int64) []byte { return appendInt(append(dst, onePair), label) }

// appendChain writes an x5chain: one certificate is not in an array (RFC 9360).
func appendChain(dst []byte, chain [][]byte) []byte {
	if len(chain) > 1 {
		dst = appendHead(dst, majorArray, uint64(len(chain)))
	}
	for _, der := range chain {
		dst = appendBytes(dst, der)
	}
	return dst
}

// appendPlain is ID_CRED_x as it goes into a plaintext: a lone kid is shortened
// to a byte string or an integer (RFC 9528 section 3.5.3.2).
func (id IDCred) appendPlain(dst []byte) ([]byte, error) {
	if id.KID != nil && id.Chain == nil && id.Hash == nil {
		return appendID(dst, id.KID), nil
	}
	return id.appendHeader(dst)
}

// parseIDCred reads an item that was checked before: its parts need not be
// checked again, and are cut by their heads.
func parseIDCred(item []byte) (IDCred, error) {
	if majorOf(item) != majorMap {
		kid, err := parseID(item)
		return IDCred{KID: kid}, err
	}
	if item[0] != onePair {
		return IDCred{}, fmt.Errorf("%w: ID_CRED", ErrMalformed)
	}
	label, value, ok := cutInt(item[1:])
	switch {
	case ok && label == labelX5Chain:
		chain, err := splitChain(slices.Clone(value)) // it outlives the message
		return IDCred{Chain: chain}, err
	case ok && label == labelPacked:
		return parsePacked(value)
	case ok && label == labelX5T:
		return parseHash(value)
	}
	return IDCred{}, fmt.Errorf("%w: type of ID_CRED", ErrRejected)
}

// splitChain cuts the value of an x5chain, which was checked before, into its
// certificates.
func splitChain(value []byte) ([][]byte, error) {
	n, list := 1, value
	if majorOf(value) == majorArray {
		arg, head := argOf(value)
		if arg < 2 || arg > maxChain {
			return nil, fmt.Errorf("%w: x5chain", ErrMalformed)
		}
		n, list = int(arg), value[head:]
	}
	chain := make([][]byte, n)
	for i := range chain {
		if majorOf(list) != majorBytes || list[0] == majorBytes<<5 {
			return nil, fmt.Errorf("%w: x5chain", ErrMalformed)
		}
		arg, head := argOf(list)
		end := head + int(arg) //nolint:gosec // it was checked: it lies in a message
		chain[i], list = list[head:end:end], list[end:]
	}
	return chain, nil
}

func parsePacked(value []byte) (IDCred, error) {
	packed, err := bytesOf(value)
	if err != nil {
		return IDCred{}, err
	}
	chain, err := Unpack(packed)
	return IDCred{Chain: chain, Packed: packed}, err
}

func parseHash(value []byte) (IDCred, error) {
	if value[0] != pair {
		return IDCred{}, fmt.Errorf("%w: x5t", ErrMalformed)
	}
	alg, rest, ok := cutInt(value[1:])
	if !ok {
		return IDCred{}, fmt.Errorf("%w: hash of x5t", ErrRejected)
	}
	hash, err := bytesOf(rest)
	if err != nil {
		return IDCred{}, err
	}
	if alg == algSHA256_64 && len(hash) == wire.X5TLen || alg == algSHA256 && len(hash) == 32 {
		return IDCred{Hash: hash}, nil
	}
	return IDCred{}, fmt.Errorf("%w: hash of x5t", ErrRejected)
}
