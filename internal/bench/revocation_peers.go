package bench

import (
	crand "crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/lares-drm/lares/security/pki"
)

// errPeer is returned when a peer does not say what it was built to say: then
// its size says nothing either.
var errPeer = errors.New("a peer gives a wrong answer about a device")

// set is what a peer has to tell apart: some devices among all that stand.
// A day's set is told to those who hold the set before, which it leaves out.
type set struct {
	fleet *fleet
	today bool
	n     int // members
	all   int // they and those they are told apart from
}

// sets are a fleet's revoked, and those of the day after.
func (f *fleet) sets() (snapshot, delta set) {
	return set{f, false, f.revoked, f.devices}, set{f, true, f.today, f.devices - f.revoked}
}

// each visits the members. at is the device's number among all that stand.
func (s set) each(visit func(at uint32)) {
	base := uint32(0)
	for i := range s.fleet.classes {
		if c := &s.fleet.classes[i]; !c.gone {
			for _, at := range s.of(c) {
				visit(base + at)
			}
			base += c.size
		}
	}
}

func (s set) of(c *fleetClass) []uint32 {
	if s.today {
		return c.today
	}
	return c.revoked
}

// others gives all those that the members are told apart from and that seem to
// be members: up to a hundred million are asked about. It gives up, not ok,
// beyond limit.
func (s set) others(seems answer, limit int) (out []uint32, ok bool) {
	base := uint32(0)
	for i := range s.fleet.classes {
		c := &s.fleet.classes[i]
		if c.gone {
			continue
		}
		at := uint32(0)
		for _, end := range append(s.known(c), c.size) {
			for ; at < end; at++ {
				if !seems(base + at) {
					continue
				}
				if out = append(out, base+at); len(out) > limit {
					return nil, false
				}
			}
			at++
		}
		base += c.size
	}
	return out, true
}

// known are the class's members, and of a day those before it too, ascending.
func (s set) known(c *fleetClass) []uint32 {
	if !s.today {
		return slices.Clone(c.revoked)
	}
	return slices.Sorted(slices.Values(slices.Concat(c.revoked, c.today)))
}

// answer is how a peer is asked: whether a device is a member.
type answer func(at uint32) bool

// verify asks about every member, and about up to 10,000 of the others, drawn.
func (s set) verify(name string, has answer) error {
	wrong := 0
	s.each(func(at uint32) {
		if !has(at) {
			wrong++
		}
	})
	rnd := rand.New(rand.NewPCG(fleetSeed, 6)) //nolint:gosec // reproducible
	base := map[pki.Class]uint32{}
	next := uint32(0)
	for i := range s.fleet.classes {
		if c := &s.fleet.classes[i]; !c.gone {
			base[c.id], next = next, next+c.size
		}
	}
	for range min(s.n, 10_000) {
		c, at := s.fleet.device(rnd.IntN(s.fleet.devices))
		_, fresh := slices.BinarySearch(c.today, at)
		if !c.isRevoked(at) && !fresh && has(base[c.id]+at) {
			wrong++
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%s: %w: %d of them", name, errPeer, wrong)
	}
	return nil
}

// mix is a hash of a device and a salt; the finalizer of SplitMix64.
func mix(at uint32, salt uint64) uint64 {
	x := uint64(at) + salt*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// below maps a hash to 0 … m-1.
func below(h uint64, m int) int { return int(h >> 32 * uint64(m) >> 32) } //nolint:gosec // m is below 2^32

// roaringSize is that of one bitmap over all devices, with runs where they pay.
func roaringSize(s set) (int, error) {
	b := roaring.NewBitmap()
	s.each(func(at uint32) { b.Add(at) })
	b.RunOptimize()
	data, err := b.ToBytes()
	if err != nil {
		return 0, fmt.Errorf("roaring: %w", err)
	}
	back := roaring.NewBitmap()
	if err := back.UnmarshalBinary(data); err != nil {
		return 0, fmt.Errorf("roaring: %w", err)
	}
	return len(data), s.verify("roaring", back.Contains)
}

// crlSerial is the length in bytes of a serial number, as public CAs issue them.
const crlSerial = 16

// crlSize is that of a CRL (RFC 5280) of the root with an entry for each member and
// one for the CA of each class that is revoked as a whole; of a day, a delta CRL.
func (d *stateDomain) crlSize(s set) (int, error) {
	list := &x509.RevocationList{Number: big.NewInt(3), ThisUpdate: d.now, NextUpdate: d.now.Add(24 * time.Hour)}
	s.each(func(at uint32) {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: serial(at, 0), RevocationTime: d.now})
	})
	if s.today {
		base, err := asn1.Marshal(2)
		if err != nil {
			return 0, fmt.Errorf("delta CRL: %w", err)
		}
		list.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: base}}
	} else {
		for i := range uint32(fleetGone) {
			list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: serial(i, 1), RevocationTime: d.now})
		}
	}
	der, err := x509.CreateRevocationList(crand.Reader, list, d.root, d.rootKey)
	if err != nil {
		return 0, fmt.Errorf("CRL: %w", err)
	}
	return len(der), nil
}

func serial(at uint32, salt uint64) *big.Int {
	var b [crlSerial]byte
	binary.BigEndian.PutUint64(b[:], mix(at, 2+salt))
	binary.BigEndian.PutUint64(b[8:], mix(at, 4+salt))
	b[0] = b[0]&0x3f | 0x40 // positive, and all of its bytes needed
	return new(big.Int).SetBytes(b[:])
}
