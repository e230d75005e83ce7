package vault

import (
	"errors"
	"fmt"
	"sync"
)

// entry is one call of Commit on its way to the disk.
type entry struct {
	anchored bool
	recs     []Record
	done     bool
	err      error
}

// Commit appends records and returns when they are durable, and anchored where
// that is asked for: then, and only then, their effects may be seen outside.
// They are there together or not at all. Calls that come while another one
// writes share one batch, one sync and one step of the anchor after it; the log
// has them in the order in which they came, and nothing returns before what
// stands before it in the log is durable. No records is nothing to do. After an
// error other than ErrTooLarge the records may or may not be there, and the
// vault is broken.
func (v *Vault) Commit(anchored bool, recs ...Record) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.err != nil || len(recs) == 0:
		return v.err
	case !v.busy && len(v.queue) == 0: // alone
		return v.apart(func() error { return v.write(anchored, recs) })
	}
	e := &entry{anchored: anchored, recs: recs}
	v.queue = append(v.queue, e)
	for {
		switch {
		case e.done:
			return e.err
		case v.err != nil:
			return v.err
		case v.busy:
			v.turn.Wait()
		default:
			v.lead()
		}
	}
}

// lead writes what waits, up to the limits of one batch: it is this caller's
// turn, and the others find theirs done.
func (v *Vault) lead() {
	n, anchored, recs := fill(v.queue)
	group := v.queue[:n]
	v.queue = v.queue[n:]
	err := v.apart(func() error { return v.write(anchored, recs) })
	for _, e := range group {
		e.done, e.err = true, err
	}
}

// fill makes a batch of the first n entries: of one, or as many as fit.
func fill(queue []*entry) (n int, anchored bool, recs []Record) {
	size := 0
	for _, e := range queue {
		for _, r := range e.recs {
			size += len(r.Body)
		}
		if n > 0 && (len(recs)+len(e.recs) > chunkRecs || size > chunkBytes) {
			break
		}
		n, anchored, recs = n+1, anchored || e.anchored, append(recs, e.recs...)
	}
	return n, anchored, recs
}

// apart runs f, which writes, without the lock; nobody else writes meanwhile.
func (v *Vault) apart(f func() error) (err error) {
	v.busy, err = true, ErrBroken // in case that f panics
	v.mu.Unlock()
	defer func() {
		v.mu.Lock()
		v.busy = false
		if errors.Is(err, ErrBroken) {
			v.err = ErrBroken
		}
		v.turn.Broadcast()
	}()
	err = f()
	return err
}

// still takes the lock when nobody writes.
func (v *Vault) still() *sync.Mutex {
	v.mu.Lock()
	for v.busy {
		v.turn.Wait()
	}
	return &v.mu
}

// write makes one batch durable.
func (v *Vault) write(anchored bool, recs []Record) error {
	if v.file == nil { // the first of this opening
		return v.startSegment(false, anchored, [][]Record{recs})
	}
	frame, next, err := v.frame(v.sealer, v.at, anchored, recs)
	if err != nil {
		return err
	}
	if _, err = v.file.Write(frame); err == nil {
		err = v.file.Sync()
	}
	v.size += int64(len(frame))
	return v.finish(next, err)
}

// finish anchors what is on disk and makes it the vault's position.
func (v *Vault) finish(next position, err error) error {
	if err == nil && v.cfg.Anchor != nil && next.anchor != v.at.anchor {
		err = v.advance(next)
	}
	if err != nil {
		return broken(err)
	}
	v.at = next
	v.remember(next)
	return nil
}

func broken(err error) error { return fmt.Errorf("%w: %w", ErrBroken, err) }
