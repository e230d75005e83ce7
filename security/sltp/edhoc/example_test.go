package edhoc_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"io"
	"log"

	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// party makes an identity whose credential is known by a key ID.
func party(kid string) edhoc.Identity {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	return edhoc.Identity{Signer: key, ID: edhoc.IDCred{KID: []byte(kid)}, Cred: edhoc.CertCred([]byte(kid + "'s certificate"))}
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

// One exchange, with a word in message_3 and one in message_4.
func Example() {
	alice, bob := party("alice"), party("bob")
	cfg := edhoc.Config{Suites: []edhoc.Suite{edhoc.Suite2}}
	i, r := must(edhoc.NewInitiator(cfg)), must(edhoc.NewResponder(cfg))

	m1 := must(i.Message1(cfg.Suites, []byte("from-ini"), nil))
	must(r.Message1(m1))
	m2 := must(r.Message2([]byte("from-res"), bob, nil))
	claim := must(i.Message2(m2))
	fmt.Printf("answered by %s\n", claim.ID.KID)
	must(i.Authenticate(bob.Cred, bob.Signer.Public()))
	m3 := must(i.Message3(alice, []edhoc.EAD{{Label: 1, Value: []byte("please")}}))
	claim = must(r.Message3(m3))
	said := must(r.Authenticate(alice.Cred, alice.Signer.Public()))
	fmt.Printf("%s says %s\n", claim.ID.KID, said[0].Value)
	m4 := must(r.Message4([]edhoc.EAD{{Label: 1, Value: []byte("granted")}}))
	said = must(i.Message4(m4))
	fmt.Printf("the answer is %s\n", said[0].Value)
	fmt.Println(string(must(i.Export(40000, nil, 16))) == string(must(r.Export(40000, nil, 16))))
	// Output:
	// answered by bob
	// alice says please
	// the answer is granted
	// true
}

// hsm is a signing key in a security module that gives signatures as PKCS #11
// does: r and s one after the other, 32 bytes each.
type hsm struct{ key *ecdsa.PrivateKey }

func (h hsm) Public() crypto.PublicKey { return h.key.Public() }

func (h hsm) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	r, s, err := ecdsa.Sign(rand.Reader, h.key, digest)
	if err != nil {
		return nil, err
	}
	return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...), nil
}

// A key in a security module signs through crypto.Signer, whichever of the two
// usual forms its signatures have.
func ExampleIdentity() {
	alice, bob := party("alice"), party("bob")
	key, ok := bob.Signer.(*ecdsa.PrivateKey)
	if !ok {
		log.Fatal("no P-256 key")
	}
	bob.Signer = hsm{key}
	i, r := talk(edhoc.SuiteHybrid, alice, bob)
	fmt.Println(i.Suite(), string(must(i.Export(40000, nil, 16))) == string(must(r.Export(40000, nil, 16))))
	// Output: suite -22 true
}

// After an event that both sides know, here the end of a month, they go on with
// new keys and can no longer make the old ones.
func ExampleInitiator_KeyUpdate() {
	i, r := talk(edhoc.Suite6, party("alice"), party("bob"))
	defer i.Close()
	defer r.Close()
	before := must(i.Export(40000, nil, 16))
	if err := i.KeyUpdate([]byte("2026-03")); err != nil {
		log.Fatal(err)
	}
	if err := r.KeyUpdate([]byte("2026-03")); err != nil {
		log.Fatal(err)
	}
	after := must(i.Export(40000, nil, 16))
	fmt.Println("differs:", string(before) != string(after))
	fmt.Println("agreed:", string(after) == string(must(r.Export(40000, nil, 16))))
	// Output:
	// differs: true
	// agreed: true
}

// talk is an exchange without a word.
func talk(s edhoc.Suite, alice, bob edhoc.Identity) (*edhoc.Initiator, *edhoc.Responder) {
	cfg := edhoc.Config{Suites: []edhoc.Suite{s}}
	i, r := must(edhoc.NewInitiator(cfg)), must(edhoc.NewResponder(cfg))
	must(r.Message1(must(i.Message1(cfg.Suites, []byte("from-ini"), nil))))
	must(i.Message2(must(r.Message2([]byte("from-res"), bob, nil))))
	must(i.Authenticate(bob.Cred, bob.Signer.Public()))
	must(r.Message3(must(i.Message3(alice, nil))))
	must(r.Authenticate(alice.Cred, alice.Signer.Public()))
	must(i.Message4(must(r.Message4(nil))))
	return i, r
}
