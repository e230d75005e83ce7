package lrp

import (
	"container/list"
	"crypto/sha256"
	"math"
	"time"
)

// Limits of a module's memory of transactions. Source: local, docs/spec/lrp.md.
const (
	// MaxFrames is how many frames one answer holds.
	MaxFrames = 16
	// MaxPending is how many transactions are remembered for one source.
	MaxPending = 64
	// MaxTransactions is how many transactions are remembered in all.
	MaxTransactions = 1024
	// MaxHeld is how many bytes of answers are kept for one transaction; a
	// longer answer is sent but not repeated.
	MaxHeld = 128 << 10
	// MaxLife bounds how long an answer is kept, whatever the frame asks.
	MaxLife = time.Hour
	// busyMS is after how many ms a duplicate of a frame in work is asked again.
	busyMS = 200
	// laterMS is after how many ms a module that had no time is asked again.
	laterMS = 2000
)

// key names a transaction at its addressee. The source is part of it, so that
// nobody meets another's transaction by its ID.
type key struct {
	src Addr
	tx  Tx
}

type entry struct {
	key     key
	expires int64 // Unix ms
	seq     uint64
	digest  [32]byte // of the frame served last, without hops
	served  bool     // answer is complete; false while the frame is in work
	answer  []Frame
}

// table remembers, per transaction, the last frame and its answer. It decides
// nothing: to forget an entry costs a repeated question to the TREM, whose
// own records make it harmless. Hence the oldest entries make room for new ones.
type table struct {
	byKey map[key]*list.Element // of *entry
	order *list.List            // oldest first
	count map[Addr]int
	due   int64 // Unix ms: nothing expires before; 0 = nobody knows
}

func newTable() *table {
	return &table{byKey: map[key]*list.Element{}, order: list.New(), count: map[Addr]int{}}
}

// begin judges a frame. fresh means: serve it, then call finish. Otherwise the
// held answer, or a code when there is none.
func (t *table) begin(f Frame, now time.Time) (e *entry, held []Frame, code Code) {
	t.expire(now)
	k := key{f.Src, f.Tx}
	digest := digestOf(f)
	if el, ok := t.byKey[k]; ok {
		e = el.Value.(*entry) //nolint:forcetypeassert,errcheck // the list holds entries only
		switch {
		case f.Seq < e.seq:
			return nil, nil, CodeStale
		case f.Seq == e.seq && digest != e.digest:
			return nil, nil, CodeMalformed
		case f.Seq == e.seq && !e.served:
			return nil, nil, CodeBusy
		case f.Seq == e.seq:
			return nil, e.answer, 0
		case !e.served:
			return nil, nil, CodeBusy
		}
		e.seq, e.digest, e.served, e.answer = f.Seq, digest, false, nil
		return e, nil, 0
	}
	t.makeRoom(f.Src)
	e = &entry{key: k, expires: min(f.Expires, now.Add(MaxLife).UnixMilli()), seq: f.Seq, digest: digest}
	t.byKey[k] = t.order.PushBack(e)
	t.due = min(t.due, e.expires)
	t.count[f.Src]++
	return e, nil, 0
}

// finish keeps the answer to the frame that begin called fresh. keep false
// forgets the frame, so that a repeat is served anew.
func (t *table) finish(e *entry, answer []Frame, keep bool) {
	size := 0
	for _, f := range answer {
		size += len(f.Body)
	}
	if keep && size <= MaxHeld {
		e.served, e.answer = true, answer
		return
	}
	if el, ok := t.byKey[e.key]; ok && el.Value == e {
		t.drop(el)
	}
}

// held returns what is kept for a transaction of src.
func (t *table) held(src Addr, tx Tx, now time.Time) (answer []Frame, ok bool) {
	t.expire(now)
	el, ok := t.byKey[key{src, tx}]
	if !ok {
		return nil, false
	}
	e := el.Value.(*entry) //nolint:forcetypeassert,errcheck // the list holds entries only
	return e.answer, e.served
}

// expire drops what is past its time. Most frames come before anything is.
func (t *table) expire(now time.Time) {
	ms := now.UnixMilli()
	if ms < t.due {
		return
	}
	t.due = math.MaxInt64
	for el := t.order.Front(); el != nil; {
		next := el.Next()
		e := el.Value.(*entry) //nolint:forcetypeassert,errcheck // the list holds entries only
		if e.expires <= ms {
			t.drop(el)
		} else {
			t.due = min(t.due, e.expires)
		}
		el = next
	}
}

// makeRoom drops the oldest entry of src, or of all, when a limit is reached.
func (t *table) makeRoom(src Addr) {
	if t.count[src] >= MaxPending {
		for el := t.order.Front(); el != nil; el = el.Next() {
			if el.Value.(*entry).key.src == src { //nolint:forcetypeassert,errcheck // the list holds entries only
				t.drop(el)
				break
			}
		}
	}
	if t.order.Len() >= MaxTransactions {
		t.drop(t.order.Front())
	}
}

func (t *table) drop(el *list.Element) {
	e := t.order.Remove(el).(*entry) //nolint:forcetypeassert,errcheck // the list holds entries only
	delete(t.byKey, e.key)
	if t.count[e.key.src]--; t.count[e.key.src] == 0 {
		delete(t.count, e.key.src)
	}
}

// digestOf is the same for a frame that came by another way: hops do not count.
func digestOf(f Frame) [32]byte {
	f.Hops = 0
	b, err := f.Encode()
	if err != nil {
		panic(err) //nolint:forbidigo // only parsed frames get here
	}
	return sha256.Sum256(b)
}
