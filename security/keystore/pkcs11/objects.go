//go:build pkcs11 && cgo

package pkcs11

import (
	"encoding/asn1"
	"fmt"

	"github.com/miekg/pkcs11"

	"github.com/lares-drm/lares/security/keystore"
)

// sharedLen is the length of a shared P-256 coordinate, in bytes.
const sharedLen = 32

// prime256v1 is CKA_EC_PARAMS of P-256: its object identifier. Source: RFC 5480 2.1.1.1.
var prime256v1 = asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}

func attribute(code uint, value any) *pkcs11.Attribute { return pkcs11.NewAttribute(code, value) }

// kept is what every key of a module is: in the token for good, for its user
// only, never to be read, taken out or changed.
func kept(label string, id []byte, more ...*pkcs11.Attribute) []*pkcs11.Attribute {
	return append([]*pkcs11.Attribute{
		attribute(pkcs11.CKA_TOKEN, true), attribute(pkcs11.CKA_PRIVATE, true), attribute(pkcs11.CKA_SENSITIVE, true), attribute(pkcs11.CKA_EXTRACTABLE, false),
		attribute(pkcs11.CKA_MODIFIABLE, false), attribute(pkcs11.CKA_LABEL, label), attribute(pkcs11.CKA_ID, id),
	}, more...)
}

// sharedTemplate is of the result of a key exchange: of this session only, and
// readable, since what is derived from it is derived in the module.
func sharedTemplate() []*pkcs11.Attribute {
	return []*pkcs11.Attribute{
		attribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY), attribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_GENERIC_SECRET), attribute(pkcs11.CKA_TOKEN, false),
		attribute(pkcs11.CKA_SENSITIVE, false), attribute(pkcs11.CKA_EXTRACTABLE, true), attribute(pkcs11.CKA_VALUE_LEN, sharedLen),
	}
}

// generate makes the three keys in the token. The delivery key also signs: the
// request for its own certificate.
func generate(t *token, s pkcs11.SessionHandle, f *file) (err error) {
	if f.Identity, err = pair(t, s, "lares identity", f.id(keystore.Identity), attribute(pkcs11.CKA_SIGN, true), attribute(pkcs11.CKA_DERIVE, false)); err != nil {
		return err
	}
	if f.Delivery, err = pair(t, s, "lares delivery", f.id(keystore.Delivery), attribute(pkcs11.CKA_SIGN, true), attribute(pkcs11.CKA_DERIVE, true)); err != nil {
		return err
	}
	_, err = t.ctx.GenerateKey(s, mechanism(pkcs11.CKM_AES_KEY_GEN, nil), kept("lares seal", f.id(sealID),
		attribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY), attribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES), attribute(pkcs11.CKA_VALUE_LEN, sealKeyLen),
		attribute(pkcs11.CKA_ENCRYPT, true), attribute(pkcs11.CKA_DECRYPT, true), attribute(pkcs11.CKA_WRAP, false), attribute(pkcs11.CKA_UNWRAP, false)))
	return err
}

// pair makes a key pair and returns its public point, 4 ‖ x ‖ y.
func pair(t *token, s pkcs11.SessionHandle, label string, id []byte, uses ...*pkcs11.Attribute) ([]byte, error) {
	params, err := asn1.Marshal(prime256v1)
	if err != nil {
		return nil, err
	}
	pub, _, err := t.ctx.GenerateKeyPair(s, mechanism(pkcs11.CKM_EC_KEY_PAIR_GEN, nil),
		[]*pkcs11.Attribute{
			attribute(pkcs11.CKA_TOKEN, true), attribute(pkcs11.CKA_EC_PARAMS, params), attribute(pkcs11.CKA_LABEL, label), attribute(pkcs11.CKA_ID, id),
			attribute(pkcs11.CKA_VERIFY, true),
		},
		kept(label, id, uses...))
	if err != nil {
		return nil, err
	}
	return point(t, s, pub)
}

// point reads a public key, 4 ‖ x ‖ y.
func point(t *token, s pkcs11.SessionHandle, pub pkcs11.ObjectHandle) ([]byte, error) {
	got, err := t.ctx.GetAttributeValue(s, pub, []*pkcs11.Attribute{attribute(pkcs11.CKA_EC_POINT, nil)})
	if err != nil {
		return nil, err
	}
	p := got[0].Value
	var raw []byte
	if rest, err := asn1.Unmarshal(p, &raw); err == nil && len(rest) == 0 { // as the standard wants it
		p = raw
	}
	if len(p) != pointLen || p[0] != 4 {
		return nil, fmt.Errorf("a public key of %d bytes", len(p))
	}
	return p, nil
}

// find finds the three keys.
func find(t *token, s pkcs11.SessionHandle, f *file) (h handles, err error) {
	for _, k := range []struct {
		handle *pkcs11.ObjectHandle
		class  uint
		role   keystore.Role
	}{
		{&h.identity, pkcs11.CKO_PRIVATE_KEY, keystore.Identity},
		{&h.delivery, pkcs11.CKO_PRIVATE_KEY, keystore.Delivery},
		{&h.seal, pkcs11.CKO_SECRET_KEY, sealID},
	} {
		if *k.handle, err = t.stayed(s, k.class, f.id(k.role)); err != nil {
			return h, fmt.Errorf("key %d: %w", k.role, err)
		}
	}
	return h, nil
}

// stayed finds a key, and refuses one that could have come from outside the
// token or could leave it.
func (t *token) stayed(s pkcs11.SessionHandle, class uint, id []byte) (pkcs11.ObjectHandle, error) {
	o, err := t.object(s, class, id)
	if err != nil {
		return 0, err
	}
	kept, err := t.says(s, o, pkcs11.CKA_SENSITIVE, pkcs11.CKA_ALWAYS_SENSITIVE, pkcs11.CKA_NEVER_EXTRACTABLE, pkcs11.CKA_LOCAL)
	if err != nil {
		return 0, err
	}
	if !kept {
		return 0, fmt.Errorf("%w: it is not one that was made in the token and stayed there", keystore.ErrDamaged)
	}
	return o, nil
}
