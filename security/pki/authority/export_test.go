package authority

import "github.com/lares-drm/lares/security/pki"

// SetNext lets a test start behind many devices.
func SetNext(a *Authority, class pki.Class, next uint32) { a.rec.Next[uint32(class)] = next }

// ParseReference and MarshalReference are the codec of a reference, for tests.
func ParseReference(data []byte) (place string, ref []byte, err error) {
	r, err := parseRef(data)
	return r.Place, r.Ref, err
}

// MarshalReference writes a reference.
func MarshalReference(place string, ref []byte) ([]byte, error) {
	return reference{Place: place, Ref: ref}.marshal()
}
