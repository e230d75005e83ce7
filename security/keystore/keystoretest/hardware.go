package keystoretest

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/lares-drm/lares/security/keystore"
)

// testHPKE opens what was sealed to the delivery key, as deliveries are.
func testHPKE(t *testing.T, open func(*testing.T) keystore.Keystore) {
	own, err := open(t).KeyExchanger(keystore.Delivery)
	if err != nil {
		t.Fatal(err)
	}
	private, err := hpke.NewDHKEMPrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	public, err := hpke.NewDHKEMPublicKey(own.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := hpke.Seal(public, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte("info"), []byte("a license"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := hpke.Open(private, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte("info"), sealed); err != nil || string(got) != "a license" {
		t.Errorf("Open: %q, %v", got, err)
	}
	sealed[len(sealed)-1] ^= 1
	if _, err := hpke.Open(private, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte("info"), sealed); err == nil {
		t.Error("what was changed opens")
	}
}

// testMethods looks at what a keystore, a signer and a key exchanger can be
// asked: the contract, and nothing that could give a key.
func testMethods(t *testing.T, open func(*testing.T) keystore.Keystore) {
	k := open(t)
	s, _ := signer(t, k, keystore.Identity)
	e, err := k.KeyExchanger(keystore.Delivery)
	if err != nil {
		t.Fatal(err)
	}
	known := []string{
		"Signer", "KeyExchanger", "Seal", "Unseal", "Level", "AnchorLevel", "Anchor", "Extend", "Count", "Increment", "Clock", "Close", "Format", "Erase",
		"Public", "Sign", "PublicKey", "Curve", "ECDH", "Keystore",
	}
	for _, v := range []any{k, s, e} {
		for m := range reflect.TypeOf(v).Methods() {
			if !slices.Contains(known, m.Name) {
				t.Errorf("%T has a method %s, which is not of the contract", v, m.Name)
			}
		}
	}
}

// testConcurrent uses one keystore from many goroutines at once.
func testConcurrent(t *testing.T, open func(*testing.T) keystore.Keystore) {
	k := open(t)
	var all sync.WaitGroup
	errs := make(chan error, 8)
	for i := range cap(errs) {
		all.Go(func() { errs <- use(k, byte(i)) })
	}
	all.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
}

// use does everything with a keystore a few times, and checks what comes.
func use(k keystore.Keystore, mark byte) error {
	s, err := k.Signer(keystore.Identity)
	if err != nil {
		return err
	}
	e, err := k.KeyExchanger(keystore.Delivery)
	if err != nil {
		return err
	}
	pub, ok := s.Public().(*ecdsa.PublicKey)
	if !ok {
		return fmt.Errorf("the identity key is %T", s.Public())
	}
	for i := range 8 {
		data := []byte{mark, byte(i)}
		digest := sha256.Sum256(data)
		der, err := s.Sign(nil, digest[:], crypto.SHA256)
		if err != nil || !ecdsa.VerifyASN1(pub, digest[:], der) {
			return fmt.Errorf("sign %v: %x, %w", data, der, err)
		}
		if err := exchange(e); err != nil {
			return err
		}
		sealed, err := k.Seal(data, data)
		if err != nil {
			return err
		}
		if got, err := k.Unseal(sealed, data); err != nil || !bytes.Equal(got, data) {
			return fmt.Errorf("unseal %v: %v, %w", data, got, err)
		}
	}
	return nil
}

// exchange agrees on a secret with a key, and checks that both sides have it.
func exchange(e ecdh.KeyExchanger) error {
	peer, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	want, err := peer.ECDH(e.PublicKey())
	if err != nil {
		return err
	}
	got, err := e.ECDH(peer.PublicKey())
	if err == nil && !bytes.Equal(got, want) {
		err = errors.New("the two sides agree on different secrets")
	}
	return err
}

// testClock holds for backends with a clock.
func testClock(t *testing.T, open func(*testing.T) keystore.Keystore) {
	c, ok := open(t).(keystore.Clock)
	if !ok {
		t.Log("this backend has no clock")
		return
	}
	last, err := c.Clock()
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		now, err := c.Clock()
		if err != nil {
			t.Fatal(err)
		}
		if now.MS < last.MS || now.Resets != last.Resets || now.Restarts != last.Restarts {
			t.Fatalf("the clock went from %+v to %+v", last, now)
		}
		last = now
	}
}

// testExport tries to get keys out of the hardware beside the contract.
func (b Backend) testExport(t *testing.T, open func(*testing.T) keystore.Keystore) {
	k := open(t)
	if b.Export == nil {
		if l := k.Level(); l > 1 {
			t.Errorf("a backend of level %d that does not say what keeps its keys in", l)
		}
		return
	}
	ways := b.Export(t, k)
	if len(ways) < 3 {
		t.Errorf("%d ways tried", len(ways))
	}
	for way, err := range ways {
		if err == nil {
			t.Errorf("%s: a key came out", way)
		}
		t.Logf("%s: %v", way, err)
	}
}

// testRestart takes the power away between operations. Keys, seals and
// register are there after it.
func (b Backend) testRestart(t *testing.T, open func(*testing.T) keystore.Keystore) {
	if b.Restart == nil {
		return
	}
	k := open(t)
	_, pub := signer(t, k, keystore.Identity)
	sealed, err := k.Seal([]byte("x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		before := register(t, k)
		b.Restart(t)
		k = open(t)
		if _, again := signer(t, k, keystore.Identity); !again.Equal(pub) {
			t.Fatalf("restart %d: another identity", i)
		}
		if got, err := k.Unseal(sealed, nil); err != nil || string(got) != "x" {
			t.Errorf("restart %d: Unseal: %v", i, err)
		}
		if after := register(t, k); after != before {
			t.Errorf("restart %d: the register is %x, was %x", i, after, before)
		}
		if err := errors.Join(use(k, byte(i)), advance(k)); err != nil {
			t.Errorf("restart %d: %v", i, err)
		}
	}
}

// register is the value of a keystore's register, whatever its kind.
func register(t *testing.T, k keystore.Keystore) (v [32]byte) {
	t.Helper()
	switch r := k.(type) {
	case keystore.Anchorer:
		return anchor(t, r)
	case keystore.Counter:
		copy(v[:], fmt.Sprint(count(t, r)))
	}
	return v
}

func advance(k keystore.Keystore) error {
	switch r := k.(type) {
	case keystore.Anchorer:
		return r.Extend([32]byte{1})
	case keystore.Counter:
		return r.Increment()
	}
	return nil
}

// testGone takes the hardware away under an open keystore: what needs it says so.
func (b Backend) testGone(t *testing.T, open func(*testing.T) keystore.Keystore) {
	if b.Remove == nil {
		return
	}
	k := open(t)
	s, _ := signer(t, k, keystore.Identity)
	e, err := k.KeyExchanger(keystore.Delivery)
	if err != nil {
		t.Fatal(err)
	}
	if err := use(k, 0); err != nil {
		t.Fatal(err)
	}
	b.Remove(t)
	digest := sha256.Sum256(nil)
	for range 2 {
		if _, err := s.Sign(nil, digest[:], crypto.SHA256); !errors.Is(err, keystore.ErrGone) {
			t.Errorf("Sign: %v, want ErrGone", err)
		}
		if err := exchange(e); !errors.Is(err, keystore.ErrGone) {
			t.Errorf("ECDH: %v, want ErrGone", err)
		}
		if err := advance(k); !errors.Is(err, keystore.ErrGone) && anchored(k) {
			t.Errorf("a step of the register: %v, want ErrGone", err)
		}
	}
}

// anchored reports whether a keystore has a register.
func anchored(k keystore.Keystore) bool {
	_, extends := k.(keystore.Anchorer)
	_, counts := k.(keystore.Counter)
	return extends || counts
}

// testPIN opens with a wrong PIN, and then with the right one.
func (b Backend) testPIN(t *testing.T, open func(*testing.T) keystore.Keystore) {
	if b.WrongPIN == nil {
		return
	}
	_, pub := signer(t, open(t), keystore.Identity)
	if err := b.WrongPIN(t); !errors.Is(err, keystore.ErrPIN) {
		t.Errorf("a wrong PIN: %v, want ErrPIN", err)
	}
	if _, again := signer(t, open(t), keystore.Identity); !again.Equal(pub) {
		t.Error("after a wrong PIN, another identity")
	}
}

// Use does everything that a keystore can, once more than nothing.
func Use(t *testing.T, k keystore.Keystore) {
	t.Helper()
	before := register(t, k)
	if err := errors.Join(use(k, 1), advance(k)); err != nil {
		t.Fatal(err)
	}
	if anchored(k) && register(t, k) == before {
		t.Error("the register stays")
	}
}
