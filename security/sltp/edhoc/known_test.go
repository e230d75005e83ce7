package edhoc

import (
	"bufio"
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
)

// vector reads "name = hex" lines; "#" starts a comment, "-" is empty. Plain
// numbers of one digit (suite, method) are passed over.
func vector(t testing.TB, name string) map[string][]byte {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // read only
	m := map[string][]byte{}
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		k, v, ok := strings.Cut(sc.Text(), " = ")
		if !ok || strings.HasPrefix(k, "#") {
			continue
		}
		if v == "-" {
			v = ""
		}
		if b, err := hex.DecodeString(v); err == nil {
			m[k] = b
		}
	}
	if sc.Err() != nil || len(m) == 0 {
		t.Fatalf("vector %s: %v", name, sc.Err())
	}
	return m
}

func same(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s = %x, want %x", what, got, want)
	}
}

// recorded is an Ephemeral that plays one recorded private key.
type recorded struct {
	t   testing.TB
	key []byte
}

func (r recorded) Offer(s Suite) (Share, error) {
	p, _ := s.params()
	key, err := p.curve.NewPrivateKey(r.key)
	if err != nil {
		r.t.Fatal(err)
	}
	return NewShare(s, key)
}

func (r recorded) Answer(s Suite, gx []byte) (gy, gxy []byte, err error) {
	share, err := r.Offer(s)
	if err != nil {
		return nil, nil, err
	}
	gxy, err = share.Agree(gx)
	return share.Public(), gxy, err
}

// TestRFC9529_2_EveryValue computes each value of RFC 9529 chapter 2.
func TestRFC9529_2_EveryValue(t *testing.T) {
	v := vector(t, "testdata/rfc9529-chapter2.txt")
	c := script{
		suite: Suite0, ci: v["C_I"], cr: v["C_R"],
		idI: Identity{ed25519.NewKeyFromSeed(v["SK_I"]), X5T(v["cert_I"]), CertCred(v["cert_I"])},
		idR: Identity{ed25519.NewKeyFromSeed(v["SK_R"]), X5T(v["cert_R"]), CertCred(v["cert_R"])},
		eph: recorded{t, v["X"]}, update: v["context_KeyUpdate"],
	}
	c.ephR = recorded{t, v["Y"]}
	out := c.trace(t)
	out["OSCORE_sender_ID_client"], out["OSCORE_sender_ID_server"] = v["C_R"], v["C_I"] // RFC 9528 section 3.3.3
	for _, end := range []string{"", "_updated"} {
		out["OSCORE_Master_Secret"+end], out["OSCORE_Master_Salt"+end] = out["export_0"+end], out["export_1"+end]
	}
	out["info_OSCORE_Master_Secret"], out["info_OSCORE_Master_Salt"] = info(0, nil, 16), info(1, nil, 8)
	for _, key := range []struct{ sk, pk string }{{"SK_I", "PK_I"}, {"SK_R", "PK_R"}} {
		out[key.sk] = v[key.sk]
		out[key.pk] = ed25519.NewKeyFromSeed(v[key.sk]).Public().(ed25519.PublicKey) //nolint:errcheck,forcetypeassert // it is one
	}
	out["X"], out["Y"] = v["X"], v["Y"]
	compare(t, v, out)
}

// exports checks labels 0 and 1, which OSCORE has (RFC 9528 appendix A.1).
func exports(t *testing.T, export func(uint64, []byte, int) ([]byte, error), secret, salt []byte) {
	t.Helper()
	a, err := export(0, nil, len(secret))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "export of label 0", a, secret)
	b, err := export(1, nil, len(salt))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "export of label 1", b, salt)
}

// TestRFC9529_2_Exchange runs both state machines: Ed25519 signs alike each
// time, so every message must be the RFC's.
func TestRFC9529_2_Exchange(t *testing.T) {
	v := vector(t, "testdata/rfc9529-chapter2.txt")
	ini, err := NewInitiator(Config{Suites: []Suite{Suite0}, Ephemeral: recorded{t, v["X"]}})
	if err != nil {
		t.Fatal(err)
	}
	res, err := NewResponder(Config{Suites: []Suite{Suite0}, Ephemeral: recorded{t, v["Y"]}})
	if err != nil {
		t.Fatal(err)
	}
	m1, err := ini.Message1([]Suite{Suite0}, v["C_I"], nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "message_1", m1, v["message_1"])
	hello, err := res.Message1(m1)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "C_I", hello.CID, v["C_I"])
	m2, err := res.Message2(v["C_R"], Identity{ed25519.NewKeyFromSeed(v["SK_R"]), X5T(v["CRED_R"][2:]), v["CRED_R"]}, nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "message_2", m2, v["message_2"])
	claim, err := ini.Message2(m2)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "C_R", claim.CID, v["C_R"])
	if _, err := ini.Authenticate(v["CRED_R"], ed25519.PublicKey(v["PK_R"])); err != nil {
		t.Fatal(err)
	}
	m3, err := ini.Message3(Identity{ed25519.NewKeyFromSeed(v["SK_I"]), X5T(v["CRED_I"][2:]), v["CRED_I"]}, nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "message_3", m3, v["message_3"])
	if _, err := res.Message3(m3); err != nil {
		t.Fatal(err)
	}
	if _, err := res.Authenticate(v["CRED_I"], ed25519.PublicKey(v["PK_I"])); err != nil {
		t.Fatal(err)
	}
	m4, err := res.Message4(nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "message_4", m4, v["message_4"])
	if _, err := ini.Message4(m4); err != nil {
		t.Fatal(err)
	}
	exports(t, ini.Export, v["OSCORE_Master_Secret"], v["OSCORE_Master_Salt"])
	exports(t, res.Export, v["OSCORE_Master_Secret"], v["OSCORE_Master_Salt"])
	th := ini.TH4()
	same(t, "TH_4", th[:], v["TH_4"])
}

// p256Key is the private key with scalar d.
func p256Key(t testing.TB, d []byte) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdh.P256().NewPrivateKey(d)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	out, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		t.Fatalf("a %T", key)
	}
	return out
}

// TestLibedhoc_Suite2_EveryValue computes the four messages and both exports of
// the recorded exchange. Its signatures are random, so they are taken from it
// and checked.
func TestLibedhoc_Suite2_EveryValue(t *testing.T) {
	v := vector(t, "testdata/libedhoc-suite2-x5chain.txt")
	c := script{
		suite: Suite2, ci: []byte{5}, cr: []byte{0x26}, // -7
		idI: Identity{p256Key(t, v["sk_I"]), X5Chain([][]byte{v["cert_I"]}), CertCred(v["cert_I"])},
		idR: Identity{p256Key(t, v["sk_R"]), X5Chain([][]byte{v["cert_R"]}), CertCred(v["cert_R"])},
		eph: recorded{t, v["eph_I"]}, ephR: recorded{t, v["eph_R"]},
		ead3: []EAD{{Label: -65535, Value: bytes.Repeat([]byte{2}, 24)}},
		ead4: []EAD{{Label: -65535, Value: bytes.Repeat([]byte{3}, 24)}},
	}
	c.takeSignatures(t, v["m2"], v["m3"])
	out := c.trace(t)
	for i, name := range []string{"m1", "m2", "m3", "m4"} {
		out[name] = out[fmt.Sprint("message_", i+1)]
	}
	out["oscore_secret"], out["oscore_salt"] = out["export_0"], out["export_1"]
	for _, name := range []string{"sk_I", "sk_R", "eph_I", "eph_R"} {
		out[name] = v[name] // went into c
	}
	for _, name := range []string{"cert_I", "cert_R"} {
		cert, err := x509.ParseCertificate(v[name])
		if err != nil {
			t.Fatal(err)
		}
		if key := p256Key(t, v["sk"+name[4:]]); !key.PublicKey.Equal(cert.PublicKey) {
			t.Errorf("%s is not of its key", name)
		}
	}
	compare(t, v, out)
}

// TestLibedhoc_Suite2_Initiator is the Initiator against a recorded Responder
// of another implementation.
func TestLibedhoc_Suite2_Initiator(t *testing.T) {
	v := vector(t, "testdata/libedhoc-suite2-x5chain.txt")
	ini, err := NewInitiator(Config{Suites: []Suite{Suite2}, Ephemeral: recorded{t, v["eph_I"]}})
	if err != nil {
		t.Fatal(err)
	}
	m1, err := ini.Message1([]Suite{Suite2}, []byte{5}, nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "message_1", m1, v["m1"])
	claim, err := ini.Message2(v["m2"])
	if err != nil {
		t.Fatal(err)
	}
	same(t, "C_R", claim.CID, []byte{0x26}) // -7
	if len(claim.ID.Chain) != 1 || !bytes.Equal(claim.ID.Chain[0], v["cert_R"]) {
		t.Fatalf("credential of R = %x", claim.ID.Chain)
	}
	cert, err := x509.ParseCertificate(claim.ID.Chain[0])
	if err != nil {
		t.Fatal(err)
	}
	if ead, err := ini.Authenticate(CertCred(v["cert_R"]), cert.PublicKey); err != nil || ead != nil {
		t.Fatalf("Authenticate = %v, %v", ead, err)
	}
	// The recorded signature is random, so message_3 is rebuilt from the record.
	plain, err := ini.sched.open(kdfK3, kdfIV3, v["m3"])
	if err != nil {
		t.Fatal(err)
	}
	ini.sched.advance(plain, CertCred(v["cert_I"]))
	if err := ini.sched.finish(); err != nil {
		t.Fatal(err)
	}
	ini.step = waiting4
	ead, err := ini.Message4(v["m4"])
	if err != nil {
		t.Fatal(err)
	}
	if len(ead) != 1 || ead[0].Label != -65535 || !bytes.Equal(ead[0].Value, bytes.Repeat([]byte{3}, 24)) {
		t.Errorf("EAD_4 = %v", ead)
	}
	exports(t, ini.Export, v["oscore_secret"], v["oscore_salt"])
}

// TestLibedhoc_Suite2_Responder is the Responder against a recorded Initiator.
func TestLibedhoc_Suite2_Responder(t *testing.T) {
	v := vector(t, "testdata/libedhoc-suite2-x5chain.txt")
	res, err := NewResponder(Config{Suites: []Suite{Suite2}, Ephemeral: recorded{t, v["eph_R"]}})
	if err != nil {
		t.Fatal(err)
	}
	hello, err := res.Message1(v["m1"])
	if err != nil {
		t.Fatal(err)
	}
	same(t, "C_I", hello.CID, []byte{5})
	m2, err := res.Message2([]byte{0x26}, Identity{p256Key(t, v["sk_R"]), X5Chain([][]byte{v["cert_R"]}), CertCred(v["cert_R"])}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(m2) != len(v["m2"]) || !bytes.Equal(m2[:35], v["m2"][:35]) {
		t.Fatalf("message_2 has not the recorded length or share")
	}
	// Our signature differs from the recorded one: go on with the recorded m2.
	p, _ := Suite2.params()
	gy, gxy, err := recorded{t, v["eph_R"]}.Answer(Suite2, v["m1"][4:36])
	if err != nil {
		t.Fatal(err)
	}
	if res.sched, err = start(p, sha256.Sum256(v["m1"]), gy, gxy); err != nil {
		t.Fatal(err)
	}
	plain2, err := res.sched.crypt2(v["m2"][3+32:])
	if err != nil {
		t.Fatal(err)
	}
	res.sched.advance(plain2, CertCred(v["cert_R"]))
	claim, err := res.Message3(v["m3"])
	if err != nil {
		t.Fatal(err)
	}
	same(t, "credential of I", claim.ID.Chain[0], v["cert_I"])
	ead, err := res.Authenticate(CertCred(v["cert_I"]), p256Key(t, v["sk_I"]).Public())
	if err != nil {
		t.Fatal(err)
	}
	if len(ead) != 1 || ead[0].Label != -65535 || !bytes.Equal(ead[0].Value, bytes.Repeat([]byte{2}, 24)) {
		t.Errorf("EAD_3 = %v", ead)
	}
	m4, err := res.Message4([]EAD{{Label: -65535, Value: bytes.Repeat([]byte{3}, 24)}})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "message_4", m4, v["m4"])
	exports(t, res.Export, v["oscore_secret"], v["oscore_salt"])
}
