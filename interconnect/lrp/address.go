package lrp

import (
	"crypto/sha256"

	"github.com/lares-drm/lares/license/ident"
)

// AddrOf is the plain address of who holds the key with this SubjectPublicKeyInfo
// (DER): what a module is called inside the home, and always the address of an LRM.
func AddrOf(spki []byte) Addr { return Addr(ident.DeviceOf(spki)) }

// Blind is the address under which a module speaks to one relay outside its home:
// the first 16 bytes of SHA-256("addr" ‖ the relay's address ‖ the module's SPKI).
// Two relays cannot compare the addresses that they see, and one relay sees the
// same each time. Source: local, docs/spec/lrp.md section 1.
func Blind(relay Addr, spki []byte) Addr {
	h := sha256.New()
	h.Write([]byte("addr"))
	h.Write(relay[:])
	h.Write(spki)
	return Addr(h.Sum(nil)[:ident.Size])
}
