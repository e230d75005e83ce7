package revocation_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"fmt"
	"log"
	"time"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/revocation"
)

// A state signer revokes one device of a class and suspends another class.
func Example() {
	signer, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{1}, 32)) // a key for examples only
	if err != nil {
		log.Fatal(err)
	}
	const players, tablets pki.Class = 4097, 4098
	b := revocation.NewBuilder(nil)
	for _, class := range []pki.Class{players, tablets} {
		if err := b.Allot(class, 1); err != nil {
			log.Fatal(err)
		}
	}
	if err := b.RevokeDevice(players, 12); err != nil {
		log.Fatal(err)
	}
	if err := b.Suspend(tablets, revocation.CertificateHold); err != nil {
		log.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	state, err := b.Sign(signer, revocation.Issue{Epoch: pki.Epoch{Number: 1}, IssuedAt: at, NextUpdate: at.Add(24 * time.Hour)})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("11:", state.Check(players, 11, 0))
	fmt.Println("12:", state.Check(players, 12, 0))
	fmt.Println("tablet:", state.Check(tablets, 0, 0))
	fmt.Println(len(state.Head().Bytes()), "bytes of head,", len(state.Snapshot()), "bytes of state")
	// Output:
	// 11: <nil>
	// 12: revocation: epoch 0.1: revoked
	// tablet: revocation: epoch 0.1: its class is suspended
	// 166 bytes of head, 9 bytes of state
}
