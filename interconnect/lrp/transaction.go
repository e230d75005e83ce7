package lrp

import (
	"fmt"
	"time"
)

// Life is how long a transaction's frames live unless its starter says
// otherwise. Source: docs/spec/sltp.md (interactive wait of an ephemeral key).
const Life = 15 * time.Minute

// Transaction is the starter's side: it numbers frames and tells answers from
// other frames.
type Transaction struct {
	dst, src Addr
	tx       Tx
	seq      uint64
	expires  int64
}

// NewTransaction starts a transaction between two modules. Its frames expire
// life after now.
func NewTransaction(dst, src Addr, now time.Time, life time.Duration) *Transaction {
	return &Transaction{dst: dst, src: src, tx: NewTx(), expires: now.Add(life).UnixMilli()}
}

// Next returns the transaction's next frame. To repeat a lost frame, send the
// same bytes again; never call Next for it.
func (t *Transaction) Next(typ Type, body []byte) Frame {
	f := Frame{Version: Version, Type: typ, Dst: t.dst, Src: t.src, Tx: t.tx, Seq: t.seq, Expires: t.expires, Body: body}
	t.seq++
	return f
}

// Resume asks for what the other side still holds of the transaction.
func (t *Transaction) Resume() Frame {
	return Frame{Version: Version, Type: TypeResume, Dst: t.dst, Src: t.src, Tx: t.tx, Seq: t.seq, Expires: t.expires, Body: []byte{}}
}

// Check reports whether f answers this transaction: nil, an *Error when it is
// an ERROR frame, or ErrFrame when it belongs elsewhere.
func (t *Transaction) Check(f Frame) error {
	if f.Tx != t.tx || f.Src != t.dst || f.Dst != t.src {
		return fmt.Errorf("%w: it is of another transaction", ErrFrame)
	}
	if f.Type != TypeError {
		return nil
	}
	e, err := ParseError(f.Body)
	if err != nil {
		return err
	}
	return e
}

// Forward returns f as a relay passes it on at now: one hop further. The
// refusal is a code for an ERROR frame; 0 means none.
func Forward(f Frame, now time.Time) (Frame, Code) {
	if code := expired(f, now); code != 0 {
		return Frame{}, code
	}
	if f.Hops >= MaxHops {
		return Frame{}, CodeHops
	}
	f.Hops++
	return f, 0
}

func expired(f Frame, now time.Time) Code {
	if f.Expires <= now.UnixMilli() {
		return CodeExpired
	}
	return 0
}

// Acknowledge is the ACK of a frame that was kept for its destination.
func Acknowledge(f Frame) Frame { return reply(f, TypeAck, []byte{}) }
