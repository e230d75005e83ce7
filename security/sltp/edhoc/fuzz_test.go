package edhoc

import (
	"bytes"
	"crypto/ecdh"
	"testing"
)

// stock is the recorded exchange of libedhoc, whose keys are known.
func stock(f *testing.F) map[string][]byte {
	return vector(f, "testdata/libedhoc-suite2-x5chain.txt")
}

func FuzzMessage1(f *testing.F) {
	f.Add(stock(f)["m1"])
	f.Add(vector(f, "testdata/rfc9529-chapter2.txt")["message_1"])
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseMessage1(data)
		if err != nil {
			return
		}
		if !bytes.Equal(m.encode(), data) {
			t.Errorf("encodes as %x", m.encode())
		}
		for _, s := range []Suite{Suite0, Suite2, Suite3, Suite6} {
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

// FuzzMessage2 gives an Initiator with a known key any message_2, and the
// parser any PLAINTEXT_2.
func FuzzMessage2(f *testing.F) {
	v := stock(f)
	f.Add(v["m2"])
	f.Add(vector(f, "testdata/rfc9529-chapter2.txt")["PLAINTEXT_2"])
	f.Fuzz(func(t *testing.T, data []byte) {
		ini, err := NewInitiator(Config{Suites: []Suite{Suite2}, Ephemeral: recorded{t, v["eph_I"]}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ini.Message1([]Suite{Suite2}, []byte{5}, nil); err != nil {
			t.Fatal(err)
		}
		if claim, err := ini.Message2(data); err == nil {
			if _, err := claim.ID.header(); err != nil {
				t.Errorf("claim without header: %v", err)
			}
		}
		roundPlaintext(t, data, true)
	})
}

// FuzzMessage3 gives a Responder any message_3, also sealed with the right key.
func FuzzMessage3(f *testing.F) {
	v := stock(f)
	f.Add(v["m3"])
	f.Add(vector(f, "testdata/rfc9529-chapter2.txt")["PLAINTEXT_3"])
	p, _ := Suite2.params()
	gy, gxy, err := recorded{f, v["eph_R"]}.Answer(Suite2, v["m1"][4:36])
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		roundPlaintext(t, data, false)
		s, err := start(p, v["m1"], gy, gxy)
		if err != nil {
			t.Fatal(err)
		}
		res := &Responder{step: waiting3, suite: Suite2, sched: s}
		if _, err := res.Message3(data); err == nil {
			t.Error("a message_3 without the key was opened")
		}
		sealed, err := s.seal(kdfK3, kdfIV3, data)
		if err != nil {
			return
		}
		if _, err := res.Message3(sealed); err == nil {
			if _, err := res.Authenticate(CertCred(v["cert_I"]), p256Key(t, v["sk_I"]).Public()); err == nil {
				t.Error("a message_3 without the signature was accepted")
			}
		}
	})
}

// FuzzMessage4 gives an Initiator any message_4, also sealed with the right key.
func FuzzMessage4(f *testing.F) {
	v := stock(f)
	f.Add(v["m4"])
	f.Add([]byte{0x00, 0x41, 0x00, 0x20})
	p, _ := Suite2.params()
	gy, gxy, err := recorded{f, v["eph_R"]}.Answer(Suite2, v["m1"][4:36])
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := start(p, v["m1"], gy, gxy)
		if err != nil {
			t.Fatal(err)
		}
		ini := &Initiator{step: waiting4, suite: Suite2, sched: s}
		if _, err := ini.Message4(data); err == nil {
			t.Error("a message_4 without the key was opened")
		}
		sealed, err := s.seal(kdfK4, kdfIV4, data)
		if err != nil {
			return
		}
		if ead, err := ini.Message4(sealed); err == nil && !bytes.Equal(encodeEAD(ead), data) {
			t.Errorf("EAD encodes as %x", encodeEAD(ead))
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
