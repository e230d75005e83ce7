package pkcs11

import (
	"bytes"
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/keystore"
)

// SignerConfig says which token, and who asks.
type SignerConfig struct {
	Module string                 // required: the path of the token's PKCS#11 library
	Token  string                 // required to make keys: the token's label
	PIN    func() ([]byte, error) // required: gives the user's PIN, which is cleared after use
}

// signerMagic starts a signing key: name and version.
const signerMagic = "LARESKQ1"

// signerKey says which key of which token signs. Nothing in it is secret. The
// public key is empty while the key is being made.
type signerKey struct {
	_      struct{} `cbor:",toarray"`
	Token  string   // label
	Serial string   // serial number
	ID     []byte   // CKA_ID
	Public []byte   // 4 ‖ x ‖ y
}

func (k *signerKey) marshal() ([]byte, error) {
	data, err := wire.Marshal(k)
	return append([]byte(signerMagic), data...), err
}

func parseSigner(data []byte) (*signerKey, error) {
	rest, ok := bytes.CutPrefix(data, []byte(signerMagic))
	if !ok {
		return nil, fmt.Errorf("%w: not a signing key of a token", keystore.ErrDamaged)
	}
	k := new(signerKey)
	if err := wire.Unmarshal(rest, k, wire.Limit{Bytes: maxFile, Items: 5, Depth: 1}); err != nil {
		return nil, fmt.Errorf("%w: %w", keystore.ErrDamaged, err)
	}
	if len(k.ID) != idLen || len(k.Token) > maxLabel || len(k.Serial) > maxLabel || len(k.Public) != 0 && (len(k.Public) != pointLen || k.Public[0] != 4) {
		return nil, fmt.Errorf("%w: a signing key of %d bytes", keystore.ErrDamaged, len(k.Public))
	}
	return k, nil
}
