package wire

import (
	"encoding/binary"
	"math/bits"
)

// The order n of P-256 and (n-1)/2, big-endian (SEC 2). They are strings because
// a constant cannot be an array; strings compare as the numbers do.
const (
	order     = "\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca\xc2\xfc\x63\x25\x51"
	halfOrder = "\x7f\xff\xff\xff\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff\xde\x73\x7d\x56\xd3\x8b\xcf\x42\x79\xdc\xe5\x61\x7e\x31\x92\xa8"
)

// Tags of DER (X.690) in an ECDSA-Sig-Value (RFC 3279 section 2.2.3).
const (
	derInteger  = 0x02
	derSequence = 0x30
)

// toDER makes an ECDSA-Sig-Value of r‖s.
func toDER(rs []byte) []byte {
	b := append(make([]byte, 0, 72), derSequence, 0)
	for _, n := range [][]byte{rs[:32], rs[32:64]} {
		for len(n) > 1 && n[0] == 0 {
			n = n[1:]
		}
		if n[0] >= 0x80 {
			b = append(b, derInteger, byte(len(n)+1), 0) //nolint:gosec // at most 33
		} else {
			b = append(b, derInteger, byte(len(n))) //nolint:gosec // at most 32
		}
		b = append(b, n...)
	}
	b[1] = byte(len(b) - 2) //nolint:gosec // at most 72
	return b
}

// fromDER writes an ECDSA-Sig-Value as r‖s with low s. It reports whether der
// is one whose numbers are below the order.
func fromDER(rs, der []byte) bool {
	if len(der) < 2 || der[0] != derSequence || int(der[1]) != len(der)-2 || der[1] >= 0x80 {
		return false
	}
	der = der[2:]
	for _, to := range [][]byte{rs[:32], rs[32:64]} {
		if len(der) < 3 || der[0] != derInteger || int(der[1]) > len(der)-2 {
			return false
		}
		n := der[2 : 2+int(der[1])]
		der = der[2+len(n):]
		if len(n) > 1 && n[0] == 0 && n[1] >= 0x80 {
			n = n[1:] // the sign
		} else if len(n) == 0 || n[0] >= 0x80 || n[0] == 0 {
			return false // empty, negative, zero, or longer than needed
		}
		if len(n) > 32 {
			return false
		}
		clear(to)
		copy(to[32-len(n):], n)
		if string(to) >= order {
			return false
		}
	}
	if s := rs[32:64]; string(s) > halfOrder {
		negate(s)
	}
	return len(der) == 0
}

// negate replaces s, which is below the order, by the order less s.
func negate(s []byte) {
	n, borrow := []byte(order), uint64(0)
	for i := 24; i >= 0; i -= 8 {
		var d uint64
		d, borrow = bits.Sub64(binary.BigEndian.Uint64(n[i:]), binary.BigEndian.Uint64(s[i:]), borrow)
		binary.BigEndian.PutUint64(s[i:], d)
	}
}
