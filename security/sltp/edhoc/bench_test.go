package edhoc

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"slices"
	"testing"
	"time"
)

// BenchmarkExchange is one exchange in memory, certificates by reference. The
// time of each side is compared with that of the primitives which no
// implementation of that side can leave out, measured in turn with it, so that
// a busy machine slows both. above-pk-% is above the public-key primitives
// alone, above-all-% above those, the hashes, key derivations and AEAD together.
func BenchmarkExchange(b *testing.B) {
	for _, s := range []Suite{Suite2, Suite3, Suite6, SuiteHybrid} {
		b.Run(s.String(), func(b *testing.B) {
			c := newCost(b, s)
			b.ReportAllocs()
			for b.Loop() {
				c.exchange()
				c.primitives()
				c.symmetric()
				for _, side := range []*clock{&c.sideI, &c.sideR, &c.bareI, &c.bareR, &c.bulk} {
					side.lap()
				}
			}
			b.ReportMetric(c.sideI.median(), "I-ns/op")
			b.ReportMetric(c.sideR.median(), "R-ns/op")
			for name, side := range map[string][3]float64{
				"I-": {c.sideI.median(), c.bareI.median(), c.bulk.median()},
				"R-": {c.sideR.median(), c.bareR.median(), c.bulk.median()},
			} {
				b.ReportMetric(100*(side[0]/side[1]-1), name+"above-pk-%")
				b.ReportMetric(100*(side[0]/(side[1]+side[2])-1), name+"above-all-%")
			}
		})
	}
}

// clock collects the time that one side takes in each exchange.
type clock struct {
	now time.Duration
	all []time.Duration
}

func (c *clock) lap() { c.now, c.all = 0, append(c.all, c.now) }

// median is in nanoseconds. Other programs on the machine do not move it.
func (c *clock) median() float64 {
	slices.Sort(c.all)
	return float64(c.all[len(c.all)/2].Nanoseconds())
}

// cost is what each side takes, whole and for its primitives alone.
type cost struct {
	b                          *testing.B
	suite                      Suite
	p                          params
	idI, idR                   Identity
	keyI, keyR                 *ecdsa.PrivateKey
	sideI, sideR, bareI, bareR clock
	bulk                       clock // symmetric primitives of one side
}

func newCost(b *testing.B, s Suite) *cost {
	der := bytes.Repeat([]byte{0x30}, 500)
	c := &cost{b: b, suite: s, idI: testIdentity(b, s), idR: testIdentity(b, s)}
	c.idI.ID, c.idI.Cred, c.idR.ID, c.idR.Cred = X5T(der), CertCred(der), X5T(der), CertCred(der)
	c.p, _ = s.params()
	var okI, okR bool
	c.keyI, okI = c.idI.Signer.(*ecdsa.PrivateKey)
	c.keyR, okR = c.idR.Signer.(*ecdsa.PrivateKey)
	if !okI || !okR {
		b.Fatal("not a suite of ES256")
	}
	return c
}

func (c *cost) must(err error) {
	if err != nil {
		c.b.Fatal(err)
	}
}

// side times one step of one side.
func side(c *clock, step func()) {
	from := time.Now()
	step()
	c.now += time.Since(from)
}

func (c *cost) exchange() {
	cfg := Config{Suites: []Suite{c.suite}}
	ini, err := NewInitiator(cfg)
	c.must(err)
	res, err := NewResponder(cfg)
	c.must(err)
	var m1, m2, m3, m4 []byte
	side(&c.sideI, func() { m1, err = ini.Message1(cfg.Suites, []byte("initiate"), nil) })
	c.must(err)
	side(&c.sideR, func() {
		if _, err = res.Message1(m1); err == nil {
			m2, err = res.Message2([]byte("responds"), c.idR, nil)
		}
	})
	c.must(err)
	side(&c.sideI, func() {
		if _, err = ini.Message2(m2); err != nil {
			return
		}
		if _, err = ini.Authenticate(c.idR.Cred, c.keyR.Public()); err == nil {
			m3, err = ini.Message3(c.idI, nil)
		}
	})
	c.must(err)
	side(&c.sideR, func() {
		if _, err = res.Message3(m3); err != nil {
			return
		}
		if _, err = res.Authenticate(c.idI.Cred, c.keyI.Public()); err == nil {
			m4, err = res.Message4(nil)
		}
	})
	c.must(err)
	side(&c.sideI, func() { _, err = ini.Message4(m4) })
	c.must(err)
}

// primitives does, for each side, the public-key operations that it cannot
// leave out.
func (c *cost) primitives() {
	var x, y *ecdh.PrivateKey
	var err error
	side(&c.bareI, func() { x, err = c.p.curve.GenerateKey(rand.Reader) })
	c.must(err)
	side(&c.bareR, func() { y, err = c.p.curve.GenerateKey(rand.Reader) })
	c.must(err)
	side(&c.bareI, func() { c.agree(x, y.PublicKey()) })
	side(&c.bareR, func() { c.agree(y, x.PublicKey()) })
	if c.p.hybrid {
		c.encapsulation()
	}
	var sigI, sigR []byte
	h := sha256.Sum256(c.idI.Cred)
	side(&c.bareI, func() { sigI, err = c.keyI.Sign(nil, h[:], crypto.SHA256) })
	c.must(err)
	side(&c.bareR, func() { sigR, err = c.keyR.Sign(nil, h[:], crypto.SHA256) })
	c.must(err)
	ok := false
	side(&c.bareI, func() { ok = ecdsa.VerifyASN1(&c.keyR.PublicKey, h[:], sigR) })
	side(&c.bareR, func() { ok = ecdsa.VerifyASN1(&c.keyI.PublicKey, h[:], sigI) && ok })
	if !ok {
		c.b.Fatal("a signature does not hold")
	}
}

func (c *cost) agree(own *ecdh.PrivateKey, peer *ecdh.PublicKey) {
	if c.p.curve == ecdh.P256() {
		if x, _ := elliptic.UnmarshalCompressed(elliptic.P256(), append([]byte{2}, peer.Bytes()[1:33]...)); x == nil {
			c.b.Fatal("a point that is none")
		}
	}
	_, err := own.ECDH(peer)
	c.must(err)
}

func (c *cost) encapsulation() {
	var dk *mlkem.DecapsulationKey768
	var ek *mlkem.EncapsulationKey768
	var wire, ct []byte
	var err error
	side(&c.bareI, func() { dk, err = mlkem.GenerateKey768() })
	c.must(err)
	side(&c.bareI, func() { wire = dk.EncapsulationKey().Bytes() })
	side(&c.bareR, func() { ek, err = mlkem.NewEncapsulationKey768(wire) })
	c.must(err)
	side(&c.bareR, func() { _, ct = ek.Encapsulate() })
	side(&c.bareI, func() { _, err = dk.Decapsulate(ct) })
	c.must(err)
}

// symmetric does the hashes, key derivations and AEAD operations of one side,
// on inputs of the lengths they have in exchange, with the standard library.
func (c *cost) symmetric() {
	key, nonce, plain := make([]byte, keyLen), make([]byte, c.p.nonce), make([]byte, 80)
	info, context, proof := string(make([]byte, 37)), string(make([]byte, 570)), make([]byte, 620)
	share := make([]byte, c.p.gx+50)
	side(&c.bulk, func() {
		for _, in := range [][]byte{share, share, proof, proof, proof, proof} { // H(message_1), TH_2 to TH_4, two signed
			sha256.Sum256(in)
		}
		prk, err := hkdf.Extract(sha256.New, share[:32], nonce)
		c.must(err)
		for _, in := range []string{context, context, info, info, info, info, info, info, info} { // MACs, K, IV, stream, PRK_out and _exporter
			_, err = hkdf.Expand(sha256.New, prk, in, hashLen)
			c.must(err)
		}
		for range 2 { // message_3 and message_4
			_, err = c.p.aead.seal(key, nonce, key, plain)
			c.must(err)
		}
	})
}

// BenchmarkPacked is what a packed chain of three certificates costs, and what
// compress/flate makes of the same chain with the same dictionary: why there is
// a format of its own (docs/adr/0005-packed-chains.md).
func BenchmarkPacked(b *testing.B) {
	chain := profileChains(b)[:3]
	value := appendChain(nil, chain)
	packed := pack(value)
	var deflated bytes.Buffer
	w, err := flate.NewWriterDict(&deflated, flate.BestCompression, []byte(dictionary))
	if err != nil {
		b.Fatal(err)
	}
	if _, err := w.Write(value); err != nil {
		b.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	b.Run("pack", func(b *testing.B) {
		for b.Loop() {
			pack(value)
		}
	})
	b.Run("unpack", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Unpack(packed); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(packed)), "bytes")
	})
	b.Run("inflate", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			out := make([]byte, len(value))
			if _, err := io.ReadFull(flate.NewReaderDict(bytes.NewReader(deflated.Bytes()), []byte(dictionary)), out); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(deflated.Len()), "bytes")
	})
	b.Run("inflate, the reader kept", func(b *testing.B) {
		b.ReportAllocs()
		r := flate.NewReaderDict(bytes.NewReader(deflated.Bytes()), []byte(dictionary))
		again, ok := r.(flate.Resetter)
		if !ok {
			b.Fatal("it cannot be kept")
		}
		for b.Loop() {
			if err := again.Reset(bytes.NewReader(deflated.Bytes()), []byte(dictionary)); err != nil {
				b.Fatal(err)
			}
			out := make([]byte, len(value))
			if _, err := io.ReadFull(r, out); err != nil {
				b.Fatal(err)
			}
		}
	})
}
