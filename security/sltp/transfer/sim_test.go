package transfer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/lares-drm/lares/license/ident"
)

// right is the permission number of the units that the tests move.
const right = 1

// kindBalance is the test application's own record: what is usable after a compaction.
const kindBalance = 0x01

// party is a module in a test: both machines, a disk that a crash leaves, and
// an account of usable units, which is all that it knows of licenses.
type party struct {
	id     ident.Device
	inc    ident.Incarnation
	key    *ecdsa.PrivateKey
	start  uint64 // units it was created with
	disk   []Record
	src    *Source
	dst    *Destination
	usable uint64

	signed   map[string]string   // what was signed before, by statement: signing again gives the same
	verified map[string]*Receipt // what was verified before, by its bytes
}

func newParty(tb testing.TB, start uint64) *party {
	tb.Helper()
	// Any scalar will do: the tests' identities are the same in every run.
	seed := sha256.Sum256(fmt.Appendf(nil, "%s %d", tb.Name(), start))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
	if err != nil {
		tb.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		tb.Fatal(err)
	}
	p := &party{id: ident.DeviceOf(spki), inc: ident.Incarnation{byte(start)}, key: key, start: start, signed: map[string]string{}, verified: map[string]*Receipt{}}
	if err := p.boot(); err != nil {
		tb.Fatal(err)
	}
	return p
}

// boot forgets everything but the disk.
func (p *party) boot() error {
	p.src, p.dst, p.usable = NewSource(p.id, p.inc), NewDestination(p.id), p.start
	for _, r := range p.disk {
		if err := p.account(r); err != nil {
			return err
		}
		if r.Kind == kindBalance {
			continue
		}
		if err := p.src.Replay(r); err != nil {
			return err
		}
		if _, err := p.dst.Replay(r); err != nil {
			return err
		}
	}
	return nil
}

// account moves units as the records say.
func (p *party) account(r Record) error {
	var body []byte
	switch r.Kind {
	case KindPrepare:
		var rec prepareRecord
		if err := read(r, &rec); err != nil {
			return err
		}
		if slices.ContainsFunc(p.disk[:min(1, len(p.disk))], func(r Record) bool { return r.Kind == kindBalance }) && p.restored(rec.TID) {
			return nil // of a snapshot: the balance is without it already
		}
		n, err := units(rec.Body)
		p.usable -= n
		return err
	case KindAbort:
		var rec endRecord
		if err := read(r, &rec); err != nil {
			return err
		}
		if body = p.bodyOf(rec.TID); body == nil {
			return nil // the end of a loan
		}
	case KindInstall:
		var rec installRecord
		if err := read(r, &rec); err != nil {
			return err
		}
		body = rec.Body
	case kindBalance:
		p.usable = uint64(r.Body[0])
		return nil
	default:
		return nil
	}
	n, err := units(body)
	p.usable += n
	return err
}

// restored reports whether a PREPARE stands in the disk's snapshot: Body[1] of
// the balance is how many records that has.
func (p *party) restored(tid ident.Transfer) bool {
	n := int(p.disk[0].Body[1])
	return slices.ContainsFunc(p.disk[1:1+n], func(r Record) bool {
		var rec prepareRecord
		return r.Kind == KindPrepare && read(r, &rec) == nil && rec.TID == tid
	})
}

func (p *party) bodyOf(tid ident.Transfer) []byte {
	for _, r := range p.disk {
		var rec prepareRecord
		if r.Kind == KindPrepare && read(r, &rec) == nil && rec.TID == tid {
			return rec.Body
		}
	}
	return nil
}

func units(body []byte) (uint64, error) {
	b, err := ParseBody(body)
	if err != nil {
		return 0, err
	}
	return b.Amounts[right], nil
}

func bodyFor(n uint64) []byte {
	b, err := Body{Op: OpAllowance, Chain: [][]byte{{0xA0}}, Amounts: map[uint64]uint64{right: n}, Bundle: []byte{1}}.Encode()
	if err != nil {
		panic(err)
	}
	return b
}

// commit puts records on the disk and into the account.
func (p *party) commit(recs []Record) error {
	for _, r := range recs {
		p.disk = append(p.disk, r)
		if err := p.account(r); err != nil {
			return err
		}
	}
	return nil
}

// effect is what a party does about one event: records first, then messages.
type effect struct {
	recs []Record
	send []string // encoded messages
}

func (e *effect) add(m interface{ Encode() ([]byte, error) }) error {
	data, err := m.Encode()
	e.send = append(e.send, string(data))
	return err
}

func (p *party) sign(e *effect, s Statement) error {
	key := fmt.Sprint(s)
	if p.signed[key] == "" {
		data, err := SignReceipt(p.key, []byte("leaf of "+p.id.String()), s)
		if err != nil {
			return err
		}
		p.signed[key] = string(data)
	}
	e.send = append(e.send, p.signed[key])
	return nil
}

// verify is parseReceipt, nil for what is not a receipt of peer.
func (p *party) verify(peer *party, data string) *Receipt {
	if _, ok := p.verified[data]; !ok {
		p.verified[data], _ = parseReceipt([]byte(data), peer.id, &peer.key.PublicKey) //nolint:errcheck // nil with an error
	}
	return p.verified[data]
}

func (p *party) prepare(dst ident.Device, n uint64) (e effect, err error) {
	x, recs, err := p.src.Prepare(Order{Dst: dst, Body: bodyFor(n), Request: ident.Request{byte(n), 1}})
	if err != nil {
		return e, err
	}
	e.recs = recs
	return e, e.add(x)
}

func (p *party) resend(dst ident.Device) (e effect, err error) {
	for _, m := range p.src.Resend(dst) {
		if err := e.add(m); err != nil {
			return e, err
		}
	}
	return e, nil
}

// receive acts on a message of peer, as a module does.
func (p *party) receive(peer *party, data string, accept bool) (e effect, err error) {
	raw := []byte(data)
	if r := p.verify(peer, data); r != nil {
		return p.receipt(r)
	}
	if x, err := ParseXFER(raw); err == nil {
		res, err := p.dst.Receive(x, func(*Body) error {
			if !accept {
				return &RefusedError{Reason: "FULL"}
			}
			return nil
		})
		return p.result(res, err)
	}
	if c, err := ParseCancel(raw); err == nil {
		return p.result(p.dst.Cancel(c))
	}
	if d, err := ParseDone(raw); err == nil {
		e.recs = p.dst.Done(d)
		return e, nil
	}
	if q, err := ParseQuery(raw); err == nil {
		return p.query(q)
	}
	return e, fmt.Errorf("no message: %x", data)
}

func (p *party) receipt(r *Receipt) (e effect, err error) {
	out, err := p.src.Receipt(r)
	if err != nil {
		return e, err
	}
	e.recs = out.Records
	if out.Quarantined {
		return e, nil
	}
	return e, e.add(out.Done)
}

func (p *party) result(res Result, err error) (effect, error) {
	if errors.Is(err, ErrDropped) {
		return effect{}, nil
	}
	if err != nil {
		return effect{}, err
	}
	e := effect{recs: res.Records}
	return e, p.sign(&e, res.Receipt)
}

func (p *party) query(q Query) (e effect, err error) {
	if q.TID.Dst == p.id {
		s, err := p.dst.Query(q.TID)
		if errors.Is(err, ErrUnknown) {
			return e, nil
		}
		if err != nil {
			return e, err
		}
		return e, p.sign(&e, s)
	}
	m, err := p.src.Answer(q.TID)
	if err != nil {
		return e, err
	}
	return e, e.add(m)
}

// queries asks the source of each right that is still UNCONFIRMED.
func (p *party) queries() (e effect, err error) {
	for key, r := range p.dst.pairs {
		for seq := range r.outcomes {
			tid := ident.Transfer{Src: key.peer, Dst: p.id, Incarnation: key.inc, Seq: seq}
			if p.dst.Unconfirmed(tid) {
				if err := e.add(Query{TID: tid}); err != nil {
					return e, err
				}
			}
		}
	}
	return e, nil
}

// state is a party's machines and account, in one encoding.
func (p *party) state() string {
	s, err1 := p.src.Snapshot()
	d, err2 := p.dst.Snapshot()
	if err := errors.Join(err1, err2); err != nil {
		panic(err)
	}
	out := binary.BigEndian.AppendUint64(nil, p.usable)
	for _, r := range slices.Concat(s, d) {
		out = append(append(out, r.Kind), r.Body...)
	}
	return string(out)
}

// escrowed is what is taken out at p and not installed at q.
func escrowed(p, q *party) (n uint64) {
	for _, tid := range p.src.Open() {
		if s, err := q.dst.Query(tid); err == nil && s.Verdict == Installed {
			continue
		}
		u, err := units(p.src.pairs[pairKey{tid.Dst, tid.Incarnation}].open[tid.Seq].body)
		if err != nil {
			panic(err)
		}
		n += u
	}
	return n
}

// checkUnits holds the promise against the disks of both: nothing doubled,
// nothing lost.
func checkUnits(a, b *party, total uint64) error {
	if a.usable+b.usable > total {
		return fmt.Errorf("doubled: %d and %d usable of %d", a.usable, b.usable, total)
	}
	if sum := a.usable + b.usable + escrowed(a, b) + escrowed(b, a); sum != total {
		return fmt.Errorf("lost: %d of %d", sum, total)
	}
	return nil
}

// finish lets messages through until nothing changes, and holds the rest of
// the promise: every transfer is closed, all units are usable, all confirmed.
func finish(a, b *party, total uint64) error {
	for range 12 {
		for _, pq := range [][2]*party{{a, b}, {b, a}} {
			p, q := pq[0], pq[1]
			re, err := p.resend(q.id)
			if err != nil {
				return err
			}
			qs, err := p.queries()
			if err != nil {
				return err
			}
			if err := converse(p, q, append(re.send, qs.send...)); err != nil {
				return err
			}
		}
	}
	if n := len(a.src.Open()) + len(b.src.Open()); n > 0 || a.usable+b.usable != total {
		return fmt.Errorf("%d transfers stay open, %d of %d usable", n, a.usable+b.usable, total)
	}
	for _, p := range []*party{a, b} {
		if e, err := p.queries(); err != nil || len(e.send) > 0 {
			return fmt.Errorf("%d rights stay unconfirmed, %w", len(e.send), err)
		}
	}
	return nil
}

// converse delivers messages of p to q, and answers back and forth.
func converse(p, q *party, send []string) error {
	for len(send) > 0 {
		var back []string
		for _, m := range send {
			e, err := q.receive(p, m, true)
			if err != nil {
				return err
			}
			if err := q.commit(e.recs); err != nil {
				return err
			}
			back = append(back, e.send...)
		}
		p, q, send = q, p, back
	}
	return nil
}
