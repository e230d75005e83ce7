package edhoc_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
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
