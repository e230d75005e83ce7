package sltp

// window remembers which of the last windowLen sequence numbers were taken.
type window struct {
	last uint64 // the highest taken
	bits uint64 // bit i: last-i was taken
	any  bool
}

// fresh reports whether seq is neither taken nor too old.
func (w *window) fresh(seq uint64) bool {
	switch {
	case !w.any || seq > w.last:
		return true
	case w.last-seq >= windowLen:
		return false
	}
	return w.bits&(1<<(w.last-seq)) == 0
}

// mark takes a fresh seq.
func (w *window) mark(seq uint64) {
	switch {
	case !w.any:
		w.last, w.bits, w.any = seq, 1, true
	case seq > w.last:
		w.bits = w.bits<<(seq-w.last) | 1
		w.last = seq
	default:
		w.bits |= 1 << (w.last - seq)
	}
}
