package edhoc

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/sha256"
	"slices"
	"testing"
)

// stock is the recorded exchange of libedhoc, whose keys are known.
func stock(f testing.TB) map[string][]byte {
	return vector(f, "testdata/libedhoc-suite2-x5chain.txt")
}

func FuzzMessage1(f *testing.F) {
	f.Add(stock(f)["m1"])
	f.Add(vector(f, "testdata/rfc9529-chapter2.txt")["message_1"])
	f.Add(vector(f, hybridFile)["message_1"])
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseMessage1(data)
		if err != nil {
			return
		}
		if !bytes.Equal(m.encode(), data) {
			t.Errorf("encodes as %x", m.encode())
		}
		for _, s := range everySuite() {
			res, err := NewResponder(Config{Suites: []Suite{s}})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := res.Message1(data); err == nil {
				_, _, _ = Fresh{}.Answer(s, res.gx)
			}
		}
	})
}

// stage is an exchange up to message_3 for each kind of suite, keys known.
type stage struct {
	suite Suite
	eph   Ephemeral // of the Initiator
	sched schedule  // under TH_2
	certI []byte
	keyI  crypto.PublicKey
}

// fresh copies the schedule: a step wipes what it is done with.
func (s stage) fresh() schedule {
	c := s.sched
	c.prk = newSecret(slices.Clone(s.sched.prk.b[:]))
	return c
}

func stages(f testing.TB) []stage {
	v, h := stock(f), values(vector(f, hybridFile))
	var out []stage
	for _, s := range []struct {
		stage
		m1, gx []byte
		ephR   Ephemeral
	}{
		{stage{suite: Suite2, eph: recorded{f, v["eph_I"]}, certI: v["cert_I"], keyI: p256Key(f, v["sk_I"]).Public()}, v["m1"], v["m1"][4:36], recorded{f, v["eph_R"]}},
		{stage{suite: SuiteHybrid, eph: fixedHybrid{f, h}, certI: h["cert_I"], keyI: p256Key(f, h["sk_I"]).Public()}, h["message_1"], h["G_X"], fixedHybrid{f, h}},
	} {
		p, _ := s.suite.params()
		gy, gxy, err := s.ephR.Answer(s.suite, s.gx)
		if err != nil {
			f.Fatal(err)
		}
		if s.sched, err = start(p, sha256.Sum256(s.m1), gy, gxy); err != nil {
			f.Fatal(err)
		}
		out = append(out, s.stage)
	}
	return out
}

// FuzzMessage2 gives an Initiator with known keys any message_2, and the parser
// any PLAINTEXT_2.
func FuzzMessage2(f *testing.F) {
	f.Add(stock(f)["m2"])
	f.Add(vector(f, "testdata/rfc9529-chapter2.txt")["PLAINTEXT_2"])
	f.Add(vector(f, hybridFile)["message_2"])
	f.Add(vector(f, hybridFile)["PLAINTEXT_2"])
	all := stages(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, s := range all {
			ini, err := NewInitiator(Config{Suites: []Suite{s.suite}, Ephemeral: s.eph})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ini.Message1([]Suite{s.suite}, []byte{5}, nil); err != nil {
				t.Fatal(err)
			}
			if claim, err := ini.Message2(data); err == nil {
				if _, err := claim.ID.header(); err != nil {
					t.Errorf("claim without header: %v", err)
				}
			}
		}
		roundPlaintext(t, data, true)
	})
}

// FuzzMessage3 gives a Responder any message_3, also sealed with the right key.
func FuzzMessage3(f *testing.F) {
	f.Add(stock(f)["m3"])
	f.Add(vector(f, "testdata/rfc9529-chapter2.txt")["PLAINTEXT_3"])
	f.Add(vector(f, hybridFile)["message_3"])
	f.Add(vector(f, hybridFile)["PLAINTEXT_3"])
	all := stages(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		roundPlaintext(t, data, false)
		for _, s := range all {
			res := &Responder{step: waiting3, suite: s.suite, sched: s.fresh()}
			if _, err := res.Message3(data); err == nil {
				t.Error("a message_3 without the key was opened")
			}
			sealed, err := res.sched.seal(kdfK3, kdfIV3, data)
			if err != nil {
				return
			}
			if _, err := res.Message3(sealed); err != nil {
				continue
			}
			if _, err := res.Authenticate(CertCred(s.certI), s.keyI); err == nil {
				t.Error("a message_3 without the signature was accepted")
			}
		}
	})
}

// FuzzMessage4 gives an Initiator any message_4, also sealed with the right key.
func FuzzMessage4(f *testing.F) {
	f.Add(stock(f)["m4"])
	f.Add([]byte{0x00, 0x41, 0x00, 0x20})
	f.Add(vector(f, hybridFile)["message_4"])
	f.Add(vector(f, hybridFile)["PLAINTEXT_4"])
	all := stages(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, s := range all {
			ini := &Initiator{step: waiting4, suite: s.suite, sched: s.fresh()}
			if _, err := ini.Message4(data); err == nil {
				t.Error("a message_4 without the key was opened")
			}
			sealed, err := ini.sched.seal(kdfK4, kdfIV4, data)
			if err != nil {
				return
			}
			if ead, err := ini.Message4(sealed); err == nil && !bytes.Equal(encodeEAD(ead), data) {
				t.Errorf("EAD encodes as %x", encodeEAD(ead))
			}
		}
	})
}

func FuzzParseError(f *testing.F) {
	f.Add([]byte{2, 0x82, 2, 3})
	f.Add([]byte{1, 0x61, 0x61})
	f.Add([]byte{0x19, 0xf3, 0x10, 0xf5})
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := ParseError(data); err == nil && !bytes.Equal(m.Encode(), data) {
			t.Errorf("%+v encodes as %x", m, m.Encode())
		}
	})
}

// FuzzShare reads any bytes as a key share: the shared secret, when there is
// one, is the same for both y.
func FuzzShare(f *testing.F) {
	f.Add(stock(f)["m1"][4:36])
	f.Add(make([]byte, 32))
	key, err := ecdh.P256().NewPrivateKey(stock(f)["eph_I"])
	if err != nil {
		f.Fatal(err)
	}
	share, err := NewShare(Suite2, key)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		z, err := share.Agree(data)
		if (err == nil) != (len(z) == 32) {
			t.Errorf("Agree = %x, %v", z, err)
		}
		_, _ = dhShareOf(t, Suite6).Agree(data)
	})
}

// FuzzHybridShare reads any bytes as both shares of SuiteHybrid. Who answers a
// share that was taken gets a secret of the right length, and who offered can
// always agree with that answer.
func FuzzHybridShare(f *testing.F) {
	v := values(vector(f, hybridFile))
	f.Add(v["G_X"])
	f.Add(v["G_Y"])
	f.Add(append(slices.Clone(v["ek_I"]), make([]byte, dhLen)...))
	f.Add(append(slices.Repeat([]byte{0xff}, ekLen), v["X_I"]...))
	f.Fuzz(func(t *testing.T, data []byte) {
		eph := fixedHybrid{t, v}
		gy, gxy, err := eph.Answer(SuiteHybrid, data)
		if (err == nil) != (len(gy) == answer && len(gxy) == agreed) {
			t.Errorf("Answer = %d and %d bytes, %v", len(gy), len(gxy), err)
		}
		share, err := eph.Offer(SuiteHybrid)
		if err != nil {
			t.Fatal(err)
		}
		z, err := share.Agree(data)
		if (err == nil) != (len(z) == agreed) {
			t.Errorf("Agree = %d bytes, %v", len(z), err)
		}
		if len(gy) == answer {
			if _, err := share.Agree(gy); err != nil {
				t.Errorf("an answer of ours: %v", err)
			}
		}
	})
}

func dhShareOf(t testing.TB, s Suite) Share {
	share, err := Fresh{}.Offer(s)
	if err != nil {
		t.Fatal(err)
	}
	return share
}

func roundPlaintext(t *testing.T, data []byte, withCR bool) {
	p, err := parsePlaintext(data, withCR)
	if err != nil {
		return
	}
	again, err := p.encode()
	if err != nil || !bytes.Equal(again, data) {
		t.Errorf("encodes as %x, %v", again, err)
	}
}
