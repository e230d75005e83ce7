package edhoc

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"flag"
	"fmt"
	"math/big"
	"os"
	"slices"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write testdata/suite-22.txt and packed-chains.json anew")

const hybridFile = "testdata/suite-22.txt"

// hybridHead tells a stranger what the file is.
const hybridHead = `# EDHOC (RFC 9528) known-answer exchange of the private-use cipher suite -22:
# method 0, X25519MLKEM768, ES256, AES-GCM (A128GCM, 16-byte tag, 12-byte nonce), SHA-256.
# Lines "name = hex" in the order in which a run meets them; "-" is the empty string.
#
# To check an implementation, take the inputs: seed_I (d and z of ML-KEM.KeyGen_internal, FIPS 203),
# x_I and y_R (X25519 private keys), m_R (m of ML-KEM.Encaps_internal), sk_I and sk_R (P-256 private
# keys), cert_I and cert_R (DER), C_I, C_R, EAD_1 to EAD_4, context_KeyUpdate. Everything else follows:
#   G_X = ek_I (1184 bytes) || X_I (32)   G_Y = ct_R (1088) || Y_R (32)   G_XY = ss (32) || z (32)
# The Responder encapsulates. message_2 names cert_R by x5chain, message_3 names cert_I by x5t (SHA-256/64).
# Signatures are those of RFC 6979 with SHA-256; of s and n - s the smaller is taken.
# A verifier must accept both. info_NAME is the info of the HKDF-Expand that gives NAME; input_TH_n is
# what TH_n is the SHA-256 of. export_N is EDHOC_Exporter(N, h'', length). _updated is after
# EDHOC_KeyUpdate(context_KeyUpdate) of RFC 9528 appendix H.
#
# Inputs are SHA-256 of "lares suite -22 NAME", cut to length; seed_I is that of seed_I.d and seed_I.z.
# The keys are public and for tests only. Made by go test -run 22_EveryValue -update; checked by the same test.
`

// hybridOrder is the order of the lines. It is complete: TestEDHOC_22_EveryValue
// fails when the file has a name that is not here or the other way round.
var hybridOrder = []string{
	"seed_I", "x_I", "ek_I", "X_I", "METHOD", "SUITES_I", "G_X", "C_I", "EAD_1", "message_1",
	"m_R", "y_R", "ct_R", "Y_R", "ss", "z", "G_Y", "G_XY", "H_message_1", "input_TH_2", "TH_2", "salt", "PRK_2e", "PRK_3e2m",
	"sk_R", "cert_R", "CRED_R", "ID_CRED_R", "C_R", "EAD_2", "context_2", "info_MAC_2", "MAC_2", "to_be_signed_2", "Signature_2",
	"PLAINTEXT_2", "info_KEYSTREAM_2", "KEYSTREAM_2", "CIPHERTEXT_2", "message_2", "input_TH_3", "TH_3", "PRK_4e3m",
	"sk_I", "cert_I", "CRED_I", "ID_CRED_I", "EAD_3", "context_3", "info_MAC_3", "MAC_3", "to_be_signed_3", "Signature_3",
	"PLAINTEXT_3", "A_3", "info_K_3", "K_3", "info_IV_3", "IV_3", "CIPHERTEXT_3", "message_3", "input_TH_4", "TH_4",
	"EAD_4", "PLAINTEXT_4", "A_4", "info_K_4", "K_4", "info_IV_4", "IV_4", "CIPHERTEXT_4", "message_4",
	"info_PRK_out", "PRK_out", "info_PRK_exporter", "PRK_exporter", "export_0", "export_1", "export_32768",
	"context_KeyUpdate", "PRK_out_updated", "PRK_exporter_updated", "export_0_updated", "export_1_updated", "export_32768_updated",
}

// hybridInputs are the inputs as the file's head says they are made.
func hybridInputs(t testing.TB) values {
	of := func(name string, n int) []byte {
		h := sha256.Sum256([]byte("lares suite -22 " + name))
		return h[:n]
	}
	v := values{"seed_I": slices.Concat(of("seed_I.d", 32), of("seed_I.z", 32))}
	for name, n := range map[string]int{"x_I": 32, "y_R": 32, "m_R": 32, "sk_I": 32, "sk_R": 32, "C_I": 8, "C_R": 8, "context_KeyUpdate": 16} {
		v[name] = of(name, n)
	}
	for i, item := range []EAD{{Label: 1, Value: []byte("hello")}, {Label: -2, Value: []byte("status")}, {Label: -3, Value: []byte("request")}, {Label: -4, Value: []byte("reply")}} {
		v[fmt.Sprint("EAD_", i+1)] = encodeEAD([]EAD{item})
	}
	for i, side := range []string{"I", "R"} {
		tmpl := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i) + 1), Subject: pkix.Name{CommonName: side},
			NotBefore: time.Unix(1735689600, 0), NotAfter: time.Unix(4102444800, 0), // 2025-01-01 to 2100-01-01
		}
		key := p256Key(t, v["sk_"+side])
		der, err := x509.CreateCertificate(nil, tmpl, tmpl, key.Public(), key) // no randomness: RFC 6979
		if err != nil {
			t.Fatal(err)
		}
		v["cert_"+side] = der
	}
	return v
}

// hybridScript is the exchange of a file's inputs.
func hybridScript(t testing.TB, v values) script {
	ead := func(name string) []EAD {
		items, err := parseEAD(v[name])
		if err != nil {
			t.Fatal(err)
		}
		return items
	}
	return script{
		suite: SuiteHybrid, ci: v["C_I"], cr: v["C_R"], eph: fixedHybrid{t, v}, ephR: fixedHybrid{t, v},
		idI:  Identity{p256Key(t, v["sk_I"]), X5T(v["cert_I"]), CertCred(v["cert_I"])},
		idR:  Identity{p256Key(t, v["sk_R"]), X5Chain([][]byte{v["cert_R"]}), CertCred(v["cert_R"])},
		ead1: ead("EAD_1"), ead2: ead("EAD_2"), ead3: ead("EAD_3"), ead4: ead("EAD_4"),
		update: v["context_KeyUpdate"],
	}
}

// TestEDHOC_22_EveryValue computes each value of the vector file from its inputs,
// and those from their names.
func TestEDHOC_22_EveryValue(t *testing.T) {
	in := hybridInputs(t)
	out := hybridScript(t, in).trace(t)
	for _, name := range []string{"seed_I", "x_I", "m_R", "y_R", "sk_I", "sk_R"} {
		out[name] = in[name]
	}
	for name, part := range map[string]struct {
		of       string
		from, to int
	}{"ek_I": {"G_X", 0, ekLen}, "X_I": {"G_X", ekLen, offered}, "ct_R": {"G_Y", 0, ctLen}, "Y_R": {"G_Y", ctLen, answer}, "ss": {"G_XY", 0, 32}, "z": {"G_XY", 32, agreed}} {
		out[name] = out[part.of][part.from:part.to]
	}
	if *update {
		file := bytes.NewBufferString(hybridHead)
		for _, name := range hybridOrder {
			text := hex.EncodeToString(out[name])
			if text == "" {
				text = "-"
			}
			fmt.Fprintf(file, "%s = %s\n", name, text)
		}
		if err := os.WriteFile(hybridFile, file.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := values(vector(t, hybridFile))
	compare(t, file, out)
	for name := range file {
		if !slices.Contains(hybridOrder, name) {
			t.Errorf("%s has no place in the file", name)
		}
	}
	if len(file) != len(hybridOrder) {
		t.Errorf("the file has %d values of %d", len(file), len(hybridOrder))
	}
	data, err := os.ReadFile(hybridFile)
	if err != nil || !bytes.HasPrefix(data, []byte(hybridHead)) {
		t.Errorf("the head of the file is not what it was made with: %v", err)
	}
}

// TestEDHOC_22_Exchange runs both state machines on the file's inputs: they say
// the file's messages, byte for byte.
func TestEDHOC_22_Exchange(t *testing.T) {
	v := values(vector(t, hybridFile))
	c := hybridScript(t, v)
	ini, err := NewInitiator(Config{Suites: []Suite{SuiteHybrid}, Ephemeral: c.eph})
	if err != nil {
		t.Fatal(err)
	}
	res, err := NewResponder(Config{Suites: []Suite{SuiteHybrid}, Ephemeral: c.ephR})
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	m1, err := ini.Message1([]Suite{SuiteHybrid}, c.ci, c.ead1)
	must(err)
	same(t, "message_1", m1, v["message_1"])
	_, err = res.Message1(m1)
	must(err)
	m2, err := res.Message2(c.cr, c.idR, c.ead2)
	must(err)
	same(t, "message_2", m2, v["message_2"])
	_, err = ini.Message2(m2)
	must(err)
	_, err = ini.Authenticate(c.idR.Cred, certKey(t, v["cert_R"]))
	must(err)
	m3, err := ini.Message3(c.idI, c.ead3)
	must(err)
	same(t, "message_3", m3, v["message_3"])
	_, err = res.Message3(m3)
	must(err)
	_, err = res.Authenticate(c.idI.Cred, certKey(t, v["cert_I"]))
	must(err)
	m4, err := res.Message4(c.ead4)
	must(err)
	same(t, "message_4", m4, v["message_4"])
	_, err = ini.Message4(m4)
	must(err)
	for _, end := range []string{"", "_updated"} {
		for _, side := range []interface {
			Export(label uint64, context []byte, n int) ([]byte, error)
			KeyUpdate(context []byte) error
		}{ini, res} {
			key, err := side.Export(32768, nil, 32)
			must(err)
			same(t, "export_32768"+end, key, v["export_32768"+end])
			must(side.KeyUpdate(c.update))
		}
	}
}

func certKey(t testing.TB, der []byte) *ecdsa.PublicKey {
	t.Helper()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pub, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		t.Fatalf("a %T", cert.PublicKey)
	}
	return pub
}
