package license

import (
	"bytes"
	"fmt"
	"math"

	"github.com/lares-drm/lares/internal/wire"
)

// AppendCBOR appends the map of the keys that are present.
func (p Policy) AppendCBOR(b []byte) ([]byte, error) {
	if len(p.Other) > 0 {
		all, err := p.withOther()
		return wire.AppendRaw(b, all), err
	}
	var room [128]byte
	f := fields{b: room[:0]}
	f.int(1, p.Duration)
	f.rule(2, p.Renew, p.Renew != nil)
	f.int(3, p.StorageDuration)
	f.uint(4, uint64(p.Backup))
	f.uint(5, uint64(p.OnFirstUse))
	f.bytes(6, p.Arbiter)
	f.int(7, p.HardEnd)
	f.uint(9, uint64(p.ExpiryMode))
	optional(&f, 11, p.FinishTail)
	optional(&f, 13, p.FirstUseThreshold)
	f.int(15, p.CountThreshold)
	f.int(17, p.ResumeWindow)
	f.int(19, p.Slice)
	optional(&f, 21, p.ClockGrace)
	if p.EmbargoStrict {
		f.b = wire.AppendBool(f.key(23), true)
	}
	optional(&f, 25, p.MinAnchor)
	f.uint(27, uint64(p.OutputEvidence))
	f.uint(29, p.MinLevel)
	f.uint(31, uint64(p.Stale))
	f.uint(33, uint64(p.AccumulatedBy))
	f.rule(35, p.Region, p.Region != nil)
	f.rule(37, p.Copy, p.Copy != nil)
	f.rule(39, p.Transfer, p.Transfer != nil)
	f.rule(41, p.Lend, p.Lend != nil)
	f.rule(43, p.Concurrency, p.Concurrency != nil)
	f.rule(45, p.Report, p.Report != nil)
	f.rule(47, p.Overlay, p.Overlay != nil)
	f.rule(49, p.Domain, p.Domain != nil)
	return append(wire.AppendMap(b, f.n), f.b...), f.err
}

// fields are the pairs of a map as they are appended, without those that are absent.
type fields struct {
	b   []byte
	n   int
	err error
}

func (f *fields) key(k uint64) []byte {
	f.n++
	return wire.AppendUint(f.b, k)
}

func (f *fields) int(k uint64, v int64) {
	if v != 0 {
		f.b = wire.AppendInt(f.key(k), v)
	}
}

func (f *fields) uint(k, v uint64) {
	if v != 0 {
		f.b = wire.AppendUint(f.key(k), v)
	}
}

func (f *fields) bytes(k uint64, v []byte) {
	if len(v) > 0 {
		f.b = wire.AppendBytes(f.key(k), v)
	}
}

// rule appends a rule of its own, which few licenses have.
func (f *fields) rule(k uint64, v any, there bool) {
	if !there || f.err != nil {
		return
	}
	var enc []byte
	if enc, f.err = wire.Marshal(v); f.err == nil {
		f.b = append(f.key(k), enc...)
	}
}

// optional appends a number that may be 0 and is absent when it is nil.
func optional[T int64 | uint64](f *fields, k uint64, v *T) {
	if v == nil {
		return
	}
	if *v < 0 {
		f.b = wire.AppendInt(f.key(k), int64(*v))
	} else {
		f.b = wire.AppendUint(f.key(k), uint64(*v))
	}
}

// ReadCBOR reads a policy map and keeps what it does not know.
func (p *Policy) ReadCBOR(from *wire.Items) {
	*p = Policy{}
	item := from.Raw()
	if from.Err() != nil {
		return
	}
	r, err := wire.PairsOf(item, math.MaxInt, maxPolicy())
	for r.Len() > 0 && r.Err() == nil {
		p.read(r.Uint(math.MaxUint64), &r)
	}
	if err == nil {
		err = r.Err()
	}
	if err != nil {
		from.Fail(fmt.Errorf("policy: %w", err))
	}
}

func (p *Policy) read(k uint64, r *wire.Items) {
	number := func(to *int64) { *to = r.Int() }
	switch k {
	case 1:
		number(&p.Duration)
	case 3:
		number(&p.StorageDuration)
	case 4:
		p.Backup = Backup(r.Uint(math.MaxUint64))
	case 5:
		p.OnFirstUse = OnFirstUse(r.Uint(math.MaxUint64))
	case 6:
		p.Arbiter = bytes.Clone(r.Bytes())
	case 7:
		number(&p.HardEnd)
	case 9:
		p.ExpiryMode = ExpiryMode(r.Uint(math.MaxUint64))
	case 11:
		p.FinishTail = new(int64)
		number(p.FinishTail)
	case 13:
		p.FirstUseThreshold = new(int64)
		number(p.FirstUseThreshold)
	case 15:
		number(&p.CountThreshold)
	case 17:
		number(&p.ResumeWindow)
	case 19:
		number(&p.Slice)
	case 21:
		p.ClockGrace = new(int64)
		number(p.ClockGrace)
	case 23:
		p.EmbargoStrict = r.Bool()
	case 25:
		p.MinAnchor = new(uint64)
		*p.MinAnchor = r.Uint(math.MaxUint64)
	case 27:
		p.OutputEvidence = Evidence(r.Uint(math.MaxUint64))
	case 29:
		p.MinLevel = r.Uint(math.MaxUint64)
	case 31:
		p.Stale = Staleness(r.Uint(math.MaxUint64))
	case 33:
		p.AccumulatedBy = AccumulatedBy(r.Uint(math.MaxUint64))
	default:
		p.readRule(k, r)
	}
}

// readRule reads what has a form of its own, and keeps what is not known.
func (p *Policy) readRule(k uint64, r *wire.Items) {
	item := r.Raw()
	switch k {
	case 2:
		p.Renew = rule[RenewRule](item, r)
	case 35:
		p.Region = rule[RegionRule](item, r)
	case 37:
		p.Copy = rule[CopyRule](item, r)
	case 39:
		p.Transfer = rule[TransferRule](item, r)
	case 41:
		p.Lend = rule[LendRule](item, r)
	case 43:
		p.Concurrency = rule[ConcurrencyRule](item, r)
	case 45:
		p.Report = rule[ReportRule](item, r)
	case 47:
		p.Overlay = rule[OverlayRule](item, r)
	case 49:
		p.Domain = rule[DomainRule](item, r)
	default:
		if p.Other == nil {
			p.Other = map[uint64]wire.RawMessage{}
		}
		p.Other[k] = bytes.Clone(item)
	}
}

func rule[T any](item wire.RawMessage, r *wire.Items) *T {
	if r.Err() != nil {
		return nil
	}
	v := new(T)
	if err := wire.Unmarshal(item, v, maxPolicy()); err != nil {
		r.Fail(err)
	}
	return v
}
