package vault

// MaxPast bounds the hashes of the past that are kept in memory, one a batch.
// Source: local, docs/spec/witness.md.
const MaxPast = 1 << 15

// remember keeps the hash of the log behind the batch where at stands.
func (v *Vault) remember(at position) {
	if v.past == nil {
		v.past = map[uint64]hash{}
	}
	v.past[at.counter] = at.hash
	delete(v.past, at.counter-MaxPast)
}

// HashAt is the log's hash after its batch ctr, so that a statement about the
// past can be held against the log. It is known of the batches that this opening
// has read or written, the newest MaxPast at most.
func (v *Vault) HashAt(ctr uint64) (h [32]byte, known bool) {
	defer v.still().Unlock()
	h, known = v.past[ctr]
	return h, known
}
