package edhoc

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strings"
	"testing"
)

// script is an exchange whose every secret is known.
type script struct {
	suite                  Suite
	ci, cr                 []byte
	eph, ephR              Ephemeral // of the Initiator and of the Responder
	idI, idR               Identity
	sigI, sigR             []byte // recorded ones; nil: the identities' keys sign
	ead1, ead2, ead3, ead4 []EAD
	update                 []byte // context of EDHOC_KeyUpdate; nil: there is none
}

// info is the whole info of an EDHOC_KDF.
func info(label uint64, context []byte, n int) []byte {
	head, tail := infoAround(label, len(context), n)
	return slices.Concat(head, context, tail)
}

// values are those of one exchange, by the names of the vector files.
type values map[string][]byte

func (v values) add(name string, b []byte) { v[name] = slices.Clone(b) }

// kdf adds an output of EDHOC_KDF and its info.
func (v values) kdf(t testing.TB, name string, from *secret, label uint64, context []byte, n int) {
	t.Helper()
	b, err := from.kdf(label, context, n)
	if err != nil {
		t.Fatal(err)
	}
	v.add("info_"+name, info(label, context, n))
	v.add(name, b)
}

// trace computes every value of the exchange, step by step.
func (c script) trace(t testing.TB) values {
	t.Helper()
	p, _ := c.suite.params()
	share, err := c.eph.Offer(c.suite)
	if err != nil {
		t.Fatal(err)
	}
	gx := share.Public()
	gy, gxy, err := c.ephR.Answer(c.suite, gx)
	if err != nil {
		t.Fatal(err)
	}
	z, err := share.Agree(gy)
	if err != nil || !bytes.Equal(z, gxy) {
		t.Fatalf("G_XY = %x and %x, %v", z, gxy, err)
	}
	m1 := message1{suites: []Suite{c.suite}, gx: gx, ci: c.ci, ead: c.ead1}.encode()
	h := sha256.Sum256(m1)
	s, err := start(p, h, gy, gxy)
	if err != nil {
		t.Fatal(err)
	}
	out := values{"METHOD": {0}, "SUITES_I": encodeSuites([]Suite{c.suite})}
	for name, b := range map[string][]byte{
		"G_X": gx, "C_I": c.ci, "EAD_1": encodeEAD(c.ead1), "message_1": m1, "G_Y": gy, "C_R": c.cr, "H_message_1": h[:],
		"input_TH_2": inputTH2(gy, h[:]), "TH_2": s.th[:], "G_XY": gxy, "salt": s.th[:],
		"PRK_2e": s.prk.b[:], "PRK_3e2m": s.prk.b[:], "PRK_4e3m": s.prk.b[:],
	} {
		out.add(name, b)
	}
	c.trace2(t, &s, gy, out)
	c.trace3(t, &s, out)
	c.trace4(t, &s, out)
	return out
}

// proof adds what one side's signature is made of, and gives the signature.
func (c script) proof(t testing.TB, s *schedule, out values, id Identity, label uint64, head, ead, sig []byte) []byte {
	t.Helper()
	side, n := "_R", "_2"
	if label == kdfMAC3 {
		side, n = "_I", "_3"
	}
	header, err := id.ID.header()
	if err != nil {
		t.Fatal(err)
	}
	context := s.context(head, header, id.Cred, ead)
	out.kdf(t, "MAC"+n, &s.prk, label, slices.Concat(context...), hashLen)
	tbs, err := s.proof(id.ID, label, head, id.Cred, ead)
	if err != nil {
		t.Fatal(err)
	}
	if sig == nil {
		if sig, err = s.sign(id, label, head, ead); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.verify(plaintext{id: id.ID, sig: sig, ead: ead}, label, head, id.Cred, id.Signer.Public()); err != nil {
		t.Fatalf("Signature%s: %v", n, err)
	}
	cert, err := bytesOf(id.Cred)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"ID_CRED" + side: header, "CRED" + side: id.Cred, "cert" + side: cert, "EAD" + n: ead,
		"context" + n: slices.Concat(context...), "to_be_signed" + n: tbs, "Signature" + n: sig,
	} {
		out.add(name, b)
	}
	return sig
}

func (c script) trace2(t testing.TB, s *schedule, gy []byte, out values) {
	t.Helper()
	ead := encodeEAD(c.ead2)
	sig := c.proof(t, s, out, c.idR, kdfMAC2, encodeID(c.cr), ead, c.sigR)
	plain, err := plaintext{cr: c.cr, id: c.idR.ID, sig: sig, ead: ead}.encode()
	if err != nil {
		t.Fatal(err)
	}
	ct, err := s.crypt2(plain)
	if err != nil {
		t.Fatal(err)
	}
	out.kdf(t, "KEYSTREAM_2", &s.prk, kdfKeystream2, s.th[:], len(plain))
	out.add("PLAINTEXT_2", plain)
	out.add("CIPHERTEXT_2", ct)
	out.add("message_2", bstr(slices.Concat(gy, ct)))
	out.add("input_TH_3", slices.Concat(s.inputTH(plain, c.idR.Cred)...))
	s.advance(plain, c.idR.Cred)
	out.add("TH_3", s.th[:])
}

func (c script) trace3(t testing.TB, s *schedule, out values) {
	t.Helper()
	ead := encodeEAD(c.ead3)
	sig := c.proof(t, s, out, c.idI, kdfMAC3, nil, ead, c.sigI)
	plain, err := plaintext{id: c.idI.ID, sig: sig, ead: ead}.encode()
	if err != nil {
		t.Fatal(err)
	}
	out.add("PLAINTEXT_3", plain)
	out.seal(t, "_3", s, kdfK3, kdfIV3, plain)
	out.add("input_TH_4", slices.Concat(s.inputTH(plain, c.idI.Cred)...))
	s.advance(plain, c.idI.Cred)
	out.add("TH_4", s.th[:])
}

// seal adds message_3 or message_4 and what it is sealed with.
func (v values) seal(t testing.TB, n string, s *schedule, keyLabel, ivLabel uint64, plain []byte) {
	t.Helper()
	msg, err := s.seal(keyLabel, ivLabel, plain)
	if err != nil {
		t.Fatal(err)
	}
	ct, err := only(msg)
	if err != nil {
		t.Fatal(err)
	}
	v.kdf(t, "K"+n, &s.prk, keyLabel, s.th[:], keyLen)
	v.kdf(t, "IV"+n, &s.prk, ivLabel, s.th[:], s.p.nonce)
	v.add("A"+n, s.aad())
	v.add("CIPHERTEXT"+n, ct)
	v.add("message"+n, msg)
}

func (c script) trace4(t testing.TB, s *schedule, out values) {
	t.Helper()
	ead := encodeEAD(c.ead4)
	out.add("EAD_4", ead)
	out.add("PLAINTEXT_4", ead)
	out.seal(t, "_4", s, kdfK4, kdfIV4, ead)
	if err := s.finish(); err != nil {
		t.Fatal(err)
	}
	out.kdf(t, "PRK_out", &s.prk, kdfPRKOut, s.th[:], hashLen)
	out.kdf(t, "PRK_exporter", &s.out, kdfPRKExporter, nil, hashLen)
	same(t, "PRK_out", s.out.b[:], out["PRK_out"])
	same(t, "PRK_exporter", s.exp.b[:], out["PRK_exporter"])
	out.exports(t, s, "")
	if c.update == nil {
		return
	}
	if err := s.update(c.update); err != nil {
		t.Fatal(err)
	}
	out.add("context_KeyUpdate", c.update)
	out.add("PRK_out_updated", s.out.b[:])
	out.add("PRK_exporter_updated", s.exp.b[:])
	out.exports(t, s, "_updated")
}

// exports adds labels 0 and 1, which OSCORE has (RFC 9528 appendix A.1), and the
// first of the private use.
func (v values) exports(t testing.TB, s *schedule, end string) {
	t.Helper()
	for _, e := range []struct {
		name  string
		label uint64
		n     int
	}{{"export_0", 0, 16}, {"export_1", 1, 8}, {"export_32768", 32768, 32}} {
		b, err := s.export(e.label, nil, e.n)
		if err != nil {
			t.Fatal(err)
		}
		v.add(e.name+end, b)
	}
}

// takeSignatures opens recorded messages 2 and 3 to reuse their signatures.
func (c *script) takeSignatures(t testing.TB, m2, m3 []byte) {
	t.Helper()
	p, _ := c.suite.params()
	share, err := c.eph.Offer(c.suite)
	if err != nil {
		t.Fatal(err)
	}
	gy, gxy, err := c.ephR.Answer(c.suite, share.Public())
	if err != nil {
		t.Fatal(err)
	}
	s, err := start(p, sha256.Sum256(message1{suites: []Suite{c.suite}, gx: share.Public(), ci: c.ci}.encode()), gy, gxy)
	if err != nil {
		t.Fatal(err)
	}
	body, err := only(m2)
	if err != nil {
		t.Fatal(err)
	}
	plain2, err := s.crypt2(body[p.gy:])
	if err != nil {
		t.Fatal(err)
	}
	parsed2, err := parsePlaintext(plain2, true)
	if err != nil {
		t.Fatal(err)
	}
	s.advance(plain2, c.idR.Cred)
	plain3, err := s.open(kdfK3, kdfIV3, m3)
	if err != nil {
		t.Fatal(err)
	}
	parsed3, err := parsePlaintext(plain3, false)
	if err != nil {
		t.Fatal(err)
	}
	c.sigR, c.sigI = parsed2.sig, parsed3.sig
}

// compare checks every value of a vector file; one that was not computed fails.
func compare(t *testing.T, file, out values) {
	t.Helper()
	for name, want := range file {
		if base, ok := strings.CutSuffix(name, "_item"); ok {
			got := bstr(out[base])
			if strings.HasPrefix(name, "C_") {
				got = encodeID(out[base])
			}
			same(t, name, got, want)
			continue
		}
		got, ok := out[name]
		if !ok {
			t.Errorf("%s was not computed", name)
		}
		same(t, name, got, want)
	}
}
