package cenc

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
)

// SystemID names a DRM system in a pssh box and in a manifest: a UUID.
type SystemID [16]byte

// The DRM systems Lares writes.
// Sources: W3C "cenc" initialization data format; DASH-IF Clear Key.
const (
	commonID   = "1077efecc0b24d02ace33c1e52e2fb4b"
	clearKeyID = "e2719d58a985b3c9781ab030af78d30e"
)

// CommonSystem is the W3C common pssh: key IDs and no data.
func CommonSystem() SystemID { return mustSystem(commonID) }

// ClearKeySystem is the DASH-IF Clear Key content protection.
func ClearKeySystem() SystemID { return mustSystem(clearKeyID) }

func mustSystem(s string) (id SystemID) {
	if n, err := hex.Decode(id[:], []byte(s)); err != nil || n != len(id) {
		panic("cenc: system ID") //nolint:forbidigo // two constants, both under test
	}
	return id
}

// String prints the UUID.
func (id SystemID) String() string { return ident.Key(id).String() }

// Limits of a pssh box. Source: local, docs/spec/content.md.
const (
	MaxPSSH     = 1 << 16 // whole box, bytes
	MaxPSSHKIDs = 256
)

// PSSH is a protection system specific header: version 0 without key IDs,
// version 1 with them. Source: ISO/IEC 23001-7.
type PSSH struct {
	Version uint8 // 0 or 1
	System  SystemID
	KIDs    []ident.Key // version 1 only
	Data    []byte
}

// Encode returns the whole box.
func (p *PSSH) Encode() ([]byte, error) {
	if p.Version > 1 || p.Version == 0 && len(p.KIDs) > 0 || len(p.KIDs) > MaxPSSHKIDs {
		return nil, fmt.Errorf("%w: version %d with %d key IDs", ErrPSSH, p.Version, len(p.KIDs))
	}
	b := append(make([]byte, 4, 64), "pssh"...)
	b = append(b, p.Version, 0, 0, 0)
	b = append(b, p.System[:]...)
	if p.Version == 1 {
		b = binary.BigEndian.AppendUint32(b, uint32(len(p.KIDs))) //nolint:gosec // <= MaxPSSHKIDs
		for _, kid := range p.KIDs {
			b = append(b, kid[:]...)
		}
	}
	if len(p.Data) > MaxPSSH-len(b)-4 {
		return nil, fmt.Errorf("%w: over %d bytes", ErrPSSH, MaxPSSH)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(p.Data))) //nolint:gosec // <= MaxPSSH
	b = append(b, p.Data...)
	binary.BigEndian.PutUint32(b, uint32(len(b))) //nolint:gosec // <= MaxPSSH
	return b, nil
}

// ParsePSSH reads one whole box.
func ParsePSSH(b []byte) (*PSSH, error) {
	if len(b) > MaxPSSH {
		return nil, fmt.Errorf("%w: over %d bytes", ErrPSSH, MaxPSSH)
	}
	r := wire.NewReader(b)
	size, typ, head := r.U32(), r.U32(), r.U32()
	if uint64(size) != uint64(len(b)) || typ != 0x70737368 || head&0xffffff != 0 || head>>24 > 1 {
		return nil, ErrPSSH
	}
	p := &PSSH{Version: uint8(head >> 24)}
	copy(p.System[:], r.Bytes(16))
	if p.Version == 1 {
		n := r.U32()
		if n > MaxPSSHKIDs {
			return nil, fmt.Errorf("%w: %d key IDs", ErrPSSH, n)
		}
		for range n {
			var kid ident.Key
			copy(kid[:], r.Bytes(16))
			p.KIDs = append(p.KIDs, kid)
		}
	}
	n := r.U32()
	if uint64(n) != uint64(r.Len()) { //nolint:gosec // Len is never negative
		return nil, ErrPSSH
	}
	p.Data = append([]byte(nil), r.Bytes(int(n))...)
	if r.End() != nil {
		return nil, ErrPSSH
	}
	return p, nil
}
