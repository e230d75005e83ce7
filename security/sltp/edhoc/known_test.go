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
	"os"
	"strings"
	"testing"
)

// vector reads "name = hex" lines; "#" starts a comment.
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
		if b, err := hex.DecodeString(v); err == nil {
			m[k] = b
		}
	}
	if sc.Err() != nil || len(m) == 0 {
		t.Fatalf("vector %s: %v", name, sc.Err())
	}
	return m
}

func same(t *testing.T, what string, got, want []byte) {
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

func TestRFC9529_2_Intermediates(t *testing.T) {
	v := vector(t, "testdata/rfc9529-chapter2.txt")
	share, err := recorded{t, v["X"]}.Offer(Suite0)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "G_X", share.Public(), v["G_X"])
	gy, gxy, err := recorded{t, v["Y"]}.Answer(Suite0, v["G_X"])
	if err != nil {
		t.Fatal(err)
	}
	same(t, "G_Y", gy, v["G_Y"])
	same(t, "G_XY", gxy, v["G_XY"])
	z, err := share.Agree(v["G_Y"])
	if err != nil {
		t.Fatal(err)
	}
	same(t, "G_XY of the Initiator", z, v["G_XY"])
	same(t, "message_1", message1{suites: []Suite{Suite0}, gx: v["G_X"], ci: v["C_I"]}.encode(), v["message_1"])
	h := sha256.Sum256(v["message_1"])
	same(t, "H(message_1)", h[:], v["H_message_1"])

	p, _ := Suite0.params()
	s, err := start(p, v["message_1"], gy, gxy)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "TH_2", s.th[:], v["TH_2"])
	same(t, "PRK_2e", s.prk.b[:], v["PRK_2e"])
	idR := IDCred{Hash: v["ID_CRED_R"][6:]}
	header, err := idR.header()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "ID_CRED_R", header, v["ID_CRED_R"])
	same(t, "x5t of CRED_R", X5T(v["CRED_R"][2:]).Hash, idR.Hash)
	mac, err := s.mac(kdfMAC2, encodeID(v["C_R"]), header, v["CRED_R"], nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "MAC_2", mac, v["MAC_2"])
	sig, err := s.sign(Identity{Signer: ed25519.NewKeyFromSeed(v["SK_R"]), ID: idR, Cred: v["CRED_R"]}, kdfMAC2, encodeID(v["C_R"]), nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "Signature_2", sig, v["Signature_2"])
	plain, err := plaintext{cr: v["C_R"], id: idR, sig: sig}.encode()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "PLAINTEXT_2", plain, v["PLAINTEXT_2"])
	stream, err := s.crypt2(make([]byte, len(plain)))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "KEYSTREAM_2", stream, v["KEYSTREAM_2"])
	ct, err := s.crypt2(plain)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "CIPHERTEXT_2", ct, v["CIPHERTEXT_2"])
	intermediates3(t, v, &s, plain)
}

func intermediates3(t *testing.T, v map[string][]byte, s *schedule, plain2 []byte) {
	s.advance(plain2, v["CRED_R"])
	same(t, "TH_3", s.th[:], v["TH_3"])
	idI := IDCred{Hash: v["ID_CRED_I"][6:]}
	header, err := idI.header()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "ID_CRED_I", header, v["ID_CRED_I"])
	mac, err := s.mac(kdfMAC3, nil, header, v["CRED_I"], nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "MAC_3", mac, v["MAC_3"])
	sig, err := s.sign(Identity{Signer: ed25519.NewKeyFromSeed(v["SK_I"]), ID: idI, Cred: v["CRED_I"]}, kdfMAC3, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "Signature_3", sig, v["Signature_3"])
	plain, err := plaintext{id: idI, sig: sig}.encode()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "PLAINTEXT_3", plain, v["PLAINTEXT_3"])
	key, iv, _, err := s.box(kdfK3, kdfIV3)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "K_3", key, v["K_3"])
	same(t, "IV_3", iv, v["IV_3"])
	msg, err := s.seal(kdfK3, kdfIV3, plain)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "message_3", msg, v["message_3"])
	same(t, "CIPHERTEXT_3", msg[2:], v["CIPHERTEXT_3"])
	s.advance(plain, v["CRED_I"])
	same(t, "TH_4", s.th[:], v["TH_4"])
	key, iv, _, err = s.box(kdfK4, kdfIV4)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "K_4", key, v["K_4"])
	same(t, "IV_4", iv, v["IV_4"])
	msg, err = s.seal(kdfK4, kdfIV4, nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "message_4", msg, v["message_4"])
	same(t, "CIPHERTEXT_4", msg[1:], v["CIPHERTEXT_4"])
	out, err := kdf(s.prk, kdfPRKOut, s.th[:], hashLen)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "PRK_out", out, v["PRK_out"])
	if err := s.finish(); err != nil {
		t.Fatal(err)
	}
	same(t, "PRK_exporter", s.exp.b[:], v["PRK_exporter"])
	exports(t, s.export, v["OSCORE_Master_Secret"], v["OSCORE_Master_Salt"])
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
	if res.sched, err = start(p, v["m1"], gy, gxy); err != nil {
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
