package lrp

import (
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
)

// Account is what an AUTH frame carries for a network resource behind its
// destination: who the user is, in a form that this package does not look into.
// Source: local, docs/spec/lrp.md section 10.
type Account struct {
	_          struct{} `cbor:",toarray"`
	Kind       string   // "voucher", "oidc" …: names that both ends know
	Credential []byte   // 1 to MaxCredential bytes
}

// Limits and labels of AUTH. Source: local, docs/spec/lrp.md section 10.
const (
	// MaxCredential is the longest credential in bytes.
	MaxCredential = 16 << 10

	authLabel   = "lares/1/auth"
	maxKind     = 32 // bytes
	sealKeyLen  = 65 // an uncompressed point of P-256
	maxAuthBody = MaxCredential + 256
)

// ErrAccount is returned for an AUTH frame that does not open, and by who is shown
// an account that it does not accept.
var ErrAccount = errors.New("lrp: the account is not accepted")

// AuthKey opens AUTH frames: the key of an LRM, never of a TREM.
type AuthKey struct{ key *ecdh.PrivateKey }

// NewAuthKey makes a key.
func NewAuthKey() (*AuthKey, error) {
	k, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("lrp: make an AUTH key: %w", err)
	}
	return &AuthKey{k}, nil
}

// Public is the key as a HELLO names it.
func (k *AuthKey) Public() []byte { return k.key.PublicKey().Bytes() }

type sealedAccount struct {
	_   struct{} `cbor:",toarray"`
	Enc []byte
	CT  []byte
}

type authAAD struct {
	_        struct{} `cbor:",toarray"`
	Tx       Tx
	Src, Dst Addr
}

func (f Frame) authAAD() ([]byte, error) {
	return wire.Marshal(authAAD{Tx: f.Tx, Src: f.Src, Dst: f.Dst})
}

// SealAccount seals an account to the key that the destination's HELLO named, for
// the frame that f will be: its body is the result. Take the key only from a HELLO
// whose proof is the destination's.
func SealAccount(to []byte, f Frame, a Account) ([]byte, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	plain, err := wire.Marshal(a)
	if err != nil {
		return nil, err
	}
	aad, err := f.authAAD()
	if err != nil {
		return nil, err
	}
	pub, err := ecdh.P256().NewPublicKey(to)
	if err != nil {
		return nil, fmt.Errorf("%w: the key is not on P-256", ErrAccount)
	}
	kem, err := hpke.NewDHKEMPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAccount, err)
	}
	enc, s, err := hpke.NewSender(kem, hpke.HKDFSHA256(), hpke.AES128GCM(), []byte(authLabel))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAccount, err)
	}
	ct, err := s.Seal(aad, plain)
	clear(plain)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAccount, err)
	}
	return wire.Marshal(sealedAccount{Enc: enc, CT: ct})
}

// Open opens the account in an AUTH frame. What does not open is ErrAccount,
// without why.
func (k *AuthKey) Open(f Frame) (Account, error) {
	var s sealedAccount
	if err := wire.Unmarshal(f.Body, &s, wire.Limit{Bytes: maxAuthBody, Items: 2, Depth: 1}); err != nil {
		return Account{}, fmt.Errorf("%w: %w", ErrFrame, err)
	}
	aad, err := f.authAAD()
	if err != nil {
		return Account{}, err
	}
	kem, err := hpke.NewDHKEMPrivateKey(k.key)
	if err != nil {
		return Account{}, fmt.Errorf("lrp: AUTH key: %w", err)
	}
	r, err := hpke.NewRecipient(s.Enc, kem, hpke.HKDFSHA256(), hpke.AES128GCM(), []byte(authLabel))
	if err != nil {
		return Account{}, ErrAccount
	}
	plain, err := r.Open(aad, s.CT)
	if err != nil {
		return Account{}, ErrAccount
	}
	defer clear(plain)
	var a Account
	if err := wire.Unmarshal(plain, &a, wire.Limit{Bytes: maxAuthBody, Items: 2, Depth: 1}); err != nil {
		return Account{}, ErrAccount
	}
	return a, a.check()
}

func (a Account) check() error {
	if a.Kind == "" || len(a.Kind) > maxKind || len(a.Credential) == 0 || len(a.Credential) > MaxCredential {
		return fmt.Errorf("%w: kind or credential of another length", ErrAccount)
	}
	return nil
}

// Format prints no credential.
func (a Account) Format(w fmt.State, _ rune) { _, _ = fmt.Fprintf(w, "[account %q]", a.Kind) }
