package vault

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// ErrAnchored is returned by Adopt for a vault with an anchor: its log cannot
// have been set back, and another one would not be accepted by its register.
var ErrAnchored = errors.New("vault: anchored")

// Copy is the log as it is on the disk, segment by segment. It is sealed: only
// the keystore of this vault opens it.
func (v *Vault) Copy() (segments [][]byte, err error) {
	defer v.still().Unlock()
	if v.err != nil {
		return nil, v.err
	}
	for n := v.first; n <= v.segment; n++ {
		data, err := v.fs.Read(segmentName(n))
		if err != nil {
			return nil, fmt.Errorf("vault: %w", err)
		}
		segments = append(segments, data)
	}
	return segments, nil
}

// Adopt replaces the log by another one of the same vault: snapshot must mean
// the same as what other says, and the log goes on where other ends. A crash
// leaves this vault's log or the other. After an error other than ErrBroken
// nothing has changed.
func (v *Vault) Adopt(other *Vault, snapshot []Record) error {
	mu := other.still()
	at, past, inc, key := other.at, maps.Clone(other.past), other.inc, other.key
	mu.Unlock()
	defer v.still().Unlock()
	switch {
	case v.err != nil:
		return v.err
	case v.at.kind != 0 || at.kind != 0:
		return ErrAnchored
	case inc != v.inc || !bytes.Equal(key[:], v.key[:]):
		return fmt.Errorf("%w: it is another vault's log", ErrKey)
	}
	return v.apart(func() error {
		was, known := v.at, v.past
		v.at, v.past = at, past
		err := v.compact(snapshot)
		if err != nil && !errors.Is(err, ErrBroken) {
			v.at, v.past = was, known
		}
		return err
	})
}

// Memory is an FS that holds segments of a Copy, to be read. What is written to
// it is gone with it.
func Memory(segments [][]byte) (FS, error) {
	m := memory{}
	for _, data := range segments {
		h, _, err := parseHeader(data)
		if err != nil {
			return nil, err
		}
		m[segmentName(h.Segment)] = bytes.NewBuffer(slices.Clone(data))
	}
	return m, nil
}

type memory map[string]*bytes.Buffer

func (m memory) List() ([]string, error) { return slices.Collect(maps.Keys(m)), nil }

func (m memory) Read(name string) ([]byte, error) {
	f, ok := m[name]
	if !ok {
		return nil, fmt.Errorf("no file %s", name)
	}
	return f.Bytes(), nil
}

func (m memory) Create(name string) (File, error) {
	m[name] = new(bytes.Buffer)
	return memoryFile{m[name]}, nil
}

func (m memory) Rename(from, to string) error {
	m[to] = m[from]
	delete(m, from)
	return nil
}

func (m memory) Remove(name string) error {
	delete(m, name)
	return nil
}

func (m memory) SyncFile(string) error { return nil }
func (m memory) Sync() error           { return nil }
func (m memory) Close() error          { return nil }

type memoryFile struct{ *bytes.Buffer }

func (memoryFile) Sync() error  { return nil }
func (memoryFile) Close() error { return nil }
