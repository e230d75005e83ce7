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

// systems are those whose names are known; Lares writes the first two only.
// Source: the list of DASH-IF, Content Protection (dashif.org/identifiers), as
// in the sources of mp4ff, Bento4 and shaka-packager.
var systems = map[string]string{
	commonID:                           "Common (W3C)",
	clearKeyID:                         "Clear Key (DASH-IF)",
	"edef8ba979d64acea3c827dcd51d21ed": "Widevine",
	"9a04f07998404286ab92e65be0885f95": "PlayReady",
	"94ce86fb07ff4f43adb893d2fa968ca2": "FairPlay",
	"29701fe43cc74a348c5bae90c7439a47": "FairPlay (shaka-packager)",
	"f239e769efa348509c16a903c6932efb": "Adobe Primetime",
	"5e629af538da4063897797ffbd9902d4": "Marlin",
	"adb41c242dbf4a6d958b4457c0d27b95": "Nagra",
	"80a6be7e14484c379e70d5aebe04c8d2": "Irdeto",
	"3d5e6d359b9a41e8b843dd3c6e72c42c": "WisePlay (ChinaDRM)",
	"9a27dd82fde247258cbc4234aa06ec09": "Verimatrix",
	"3ea8778f77424bf9b18be834b2acbd47": "Clear Key AES-128 (DASH-IF)",
	"be58615b19c4468488b3c8c57e99e957": "Clear Key SAMPLE-AES (DASH-IF)",
	"6a99532d869f59229a91113ab7b1e2f3": "MobiTV",
	"b4413586c58cffb094a5d4896c1af6c3": "Viaccess-Orca",
}

// Name is the name of a known system, or "".
func (id SystemID) Name() string { return systems[hex.EncodeToString(id[:])] }

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
