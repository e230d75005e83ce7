package edhoc

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// A packed chain is an x5chain in fewer bytes, without loss: what certificates
// of the profile have in common is copied from a dictionary that both sides
// know, and what a certificate has in common with one before it from there. It
// is local, docs/spec/sltp.md, "Packed chains".

// labelPacked is the COSE header parameter of a packed chain. Numbers below
// -65536 are for private use (IANA, COSE Header Parameters). Source: local.
const labelPacked = -162224

// MaxUnpacked is how many bytes a packed chain may stand for: eight
// certificates of the length that docs/spec/certificates.md allows. Source: local.
const MaxUnpacked = 1 << 14

// What one operation of a packed chain gives, in bytes. A copy costs three
// bytes, so a shorter one than minCopy saves nothing. Source: local.
const (
	maxRun  = 128
	minCopy = 4
	maxCopy = minCopy + 127
	copyOp  = 0x80 // this bit tells a copy from a run
)

// PackedChain names a credential by the whole chain, packed. It searches for
// what can be copied, which takes a millisecond: who sends a chain more than
// once keeps the result.
func PackedChain(chain [][]byte) (IDCred, error) {
	if len(chain) < 1 || len(chain) > maxChain || slices.ContainsFunc(chain, func(der []byte) bool { return len(der) == 0 }) {
		return IDCred{}, fmt.Errorf("edhoc: a chain of %d certificates", len(chain))
	}
	value := appendChain(nil, chain)
	if len(value) > MaxUnpacked {
		return IDCred{}, fmt.Errorf("%w: chain", ErrTooLong)
	}
	return IDCred{Chain: chain, Packed: pack(value)}, nil
}

// Unpack returns the chain that a packed one stands for, in memory of its own.
// What it costs is bounded by MaxUnpacked, whatever packed says.
func Unpack(packed []byte) ([][]byte, error) {
	value, err := unpack(packed)
	if err != nil {
		return nil, err
	}
	item, rest, err := next(value)
	if err != nil || len(rest) > 0 {
		return nil, errPacked
	}
	return splitChain(item)
}

var errPacked = fmt.Errorf("%w: packed chain", ErrMalformed)

// unpack does the operations. Each gives at least one byte and none more than
// is left of the length that stands first.
func unpack(packed []byte) ([]byte, error) {
	if len(packed) < 2 {
		return nil, errPacked
	}
	n, ops := int(binary.BigEndian.Uint16(packed)), packed[2:]
	if n > MaxUnpacked {
		return nil, errPacked
	}
	out := make([]byte, 0, n)
	for len(ops) > 0 {
		op := int(ops[0])
		if op < copyOp {
			run := op + 1
			if len(ops) < 1+run || run > n-len(out) {
				return nil, errPacked
			}
			out, ops = append(out, ops[1:1+run]...), ops[1+run:]
			continue
		}
		run := op - copyOp + minCopy
		if len(ops) < 3 || run > n-len(out) {
			return nil, errPacked
		}
		from := int(binary.BigEndian.Uint16(ops[1:]))
		before := from - len(dictionary)
		switch {
		case before >= 0 && before+run <= len(out):
			out = append(out, out[before:before+run]...)
		case before < 0 && from+run <= len(dictionary):
			out = append(out, dictionary[from:from+run]...)
		default:
			return nil, errPacked
		}
		ops = ops[3:]
	}
	if len(out) != n {
		return nil, errPacked
	}
	return out, nil
}

// match is where bytes of a value stand earlier: so many, from there in
// dictionary and value.
type match struct{ run, from int }

// maxPlaces bounds how many earlier places are looked at for one position.
const maxPlaces = 64

// matches finds for each position of value the longest copy. It may not reach
// over the end of the dictionary or to what is not unpacked yet.
func matches(value []byte) []match {
	all := append([]byte(dictionary), value...)
	places := map[[minCopy]byte][]int{}
	note := func(at int) {
		key := [minCopy]byte(all[at:])
		if len(places[key]) < maxPlaces {
			places[key] = append(places[key], at)
		}
	}
	for at := 0; at+minCopy <= len(dictionary); at++ {
		note(at)
	}
	best := make([]match, len(value))
	for i := 0; i+minCopy <= len(value); i++ {
		if i >= minCopy {
			note(len(dictionary) + i - minCopy)
		}
		at := len(dictionary) + i
		for _, from := range places[[minCopy]byte(all[at:])] {
			end := at
			if from < len(dictionary) {
				end = len(dictionary)
			}
			run, most := minCopy, min(maxCopy, end-from, len(all)-at)
			for run < most && all[from+run] == all[at+run] {
				run++
			}
			if run > best[i].run {
				best[i] = match{run, from}
			}
		}
	}
	return best
}

// pack finds the operations of the fewest bytes, from the end of value to its
// beginning.
func pack(value []byte) []byte {
	best := matches(value)
	cost, take := make([]int, len(value)+1), make([]int, len(value)) // take: bytes of a copy, or minus those of a run
	for i := len(value) - 1; i >= 0; i-- {
		cost[i] = math.MaxInt
		for run := 1; run <= min(maxRun, len(value)-i); run++ {
			if c := 1 + run + cost[i+run]; c < cost[i] {
				cost[i], take[i] = c, -run
			}
		}
		for run := minCopy; run <= best[i].run; run++ {
			if c := 3 + cost[i+run]; c <= cost[i] {
				cost[i], take[i] = c, run
			}
		}
	}
	out := binary.BigEndian.AppendUint16(make([]byte, 0, 2+cost[0]), uint16(len(value))) //nolint:gosec // at most MaxUnpacked
	for i := 0; i < len(value); {
		if run := -take[i]; run > 0 {
			out = append(append(out, byte(run-1)), value[i:i+run]...) //nolint:gosec // at most maxRun
			i += run
			continue
		}
		out = binary.BigEndian.AppendUint16(append(out, byte(copyOp+take[i]-minCopy)), uint16(best[i].from)) //nolint:gosec // below 2^15
		i += take[i]
	}
	return out
}
