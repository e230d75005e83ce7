package license

import (
	"bytes"
	"math"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
)

// This file writes and reads license information by hand: an issuer does so several
// times for each license, and reflection takes ten times as long. The tags of Info and
// Policy say the same; the tests hold one against the other.

// AppendCBOR appends the map of docs/spec/license.md.
func (i Info) AppendCBOR(b []byte) (_ []byte, err error) {
	n := 11
	for _, there := range []bool{i.Parent != nil, i.RevMaxAge != 0, i.Sunset != nil, i.StatusURL != "", i.Continues != nil} {
		if there {
			n++
		}
	}
	b = wire.AppendUint(append(wire.AppendMap(b, n), 1), i.Format)
	b = wire.AppendBytes(append(b, 2), i.ID[:])
	if b, err = appendOpaque(append(b, 3), string(i.Issuer)); err != nil {
		return b, err
	}
	b = wire.AppendInt(append(b, 4), i.IssuedAt)
	if b, err = appendOpaque(append(b, 5), string(i.Content)); err != nil {
		return b, err
	}
	b, _ = i.Subject.AppendCBOR(append(b, 6)) // never returns an error
	b = wire.AppendBytes(append(b, 7), i.Code)
	if b, err = i.Policy.AppendCBOR(append(b, 8)); err != nil {
		return b, err
	}
	b = appendKeys(append(b, 9), i.Keys)
	if p := i.Parent; p != nil {
		b = wire.AppendBytes(wire.AppendArray(append(b, 10), 5), p.Hash[:])
		b = wire.AppendUint(wire.AppendUint(b, p.CopyGeneration), uint64(p.Kind))
		b = wire.AppendUint(wire.AppendUint(b, p.Index), p.Of)
	}
	return i.appendRest(wire.AppendUint(append(b, 11), i.RevMinEpoch))
}

func (i *Info) appendRest(b []byte) (_ []byte, err error) {
	if i.RevMaxAge != 0 {
		b = wire.AppendInt(append(b, 12), i.RevMaxAge)
	}
	if i.Sunset != nil {
		b, _ = i.Sunset.AppendCBOR(append(b, 13)) // never returns an error
	}
	if i.StatusURL != "" {
		b = wire.AppendText(append(b, 14), i.StatusURL)
	}
	b = wire.AppendUint(append(b, 15), i.Version)
	if c := i.Continues; c != nil {
		if b, err = appendOpaque(wire.AppendArray(append(b, 16), 2), string(c.Issuer)); err != nil {
			return b, err
		}
		b = wire.AppendBytes(b, c.ID[:])
	}
	return b, nil
}

func appendKeys(b []byte, keys []KeyRef) []byte {
	if keys == nil {
		return wire.AppendBytes(b, nil)
	}
	b = wire.AppendArray(b, len(keys))
	for i := range keys {
		b, _ = keys[i].AppendCBOR(b) // never returns an error
	}
	return b
}

// ReadCBOR reads what AppendCBOR appends.
func (i *Info) ReadCBOR(from *wire.Items) {
	*i = Info{}
	r := from.Pairs(math.MaxInt)
	r.Need(1)
	i.Format = r.Uint(math.MaxUint64)
	r.Need(2)
	r.Fixed(i.ID[:])
	r.Need(3)
	i.Issuer = ident.Issuer(readOpaque(&r))
	r.Need(4)
	i.IssuedAt = r.Int()
	r.Need(5)
	i.Content = ident.Content(readOpaque(&r))
	r.Need(6)
	i.Subject.ReadCBOR(&r)
	r.Need(7)
	i.Code = bytes.Clone(r.OptionalBytes())
	r.Need(8)
	i.Policy.ReadCBOR(&r)
	r.Need(9)
	i.Keys = readKeys(&r)
	if r.Key(10) {
		in, p := r.Array(5, 5), new(Parent)
		in.Fixed(p.Hash[:])
		p.CopyGeneration, p.Kind = in.Uint(math.MaxUint64), DerivedKind(in.Uint(math.MaxUint64))
		p.Index, p.Of = in.Uint(math.MaxUint64), in.Uint(math.MaxUint64)
		r.Done(in)
		i.Parent = p
	}
	i.readRest(&r)
	from.Done(r)
}

func (i *Info) readRest(r *wire.Items) {
	r.Need(11)
	i.RevMinEpoch = r.Uint(math.MaxUint64)
	if r.Key(12) {
		i.RevMaxAge = r.Int()
	}
	if r.Key(13) {
		i.Sunset = new(Sunset)
		i.Sunset.ReadCBOR(r)
	}
	if r.Key(14) {
		i.StatusURL = r.Text()
	}
	r.Need(15)
	i.Version = r.Uint(math.MaxUint64)
	if r.Key(16) {
		in := r.Array(2, 2)
		i.Continues = &Continues{Issuer: ident.Issuer(readOpaque(&in))}
		in.Fixed(i.Continues.ID[:])
		r.Done(in)
	}
}

func readKeys(r *wire.Items) []KeyRef {
	if r.Null() {
		r.Raw()
		return nil
	}
	in := r.Array(0, math.MaxInt)
	keys := make([]KeyRef, in.Len())
	for i := range keys {
		keys[i].ReadCBOR(&in)
	}
	r.Done(in)
	return keys
}

func appendOpaque(b []byte, id string) ([]byte, error) {
	if id == "" || len(id) > ident.MaxOpaque {
		return b, ident.ErrID
	}
	return wire.AppendBytes(b, []byte(id)), nil
}

func readOpaque(r *wire.Items) string {
	b := r.Bytes()
	if len(b) == 0 || len(b) > ident.MaxOpaque {
		r.Fail(ident.ErrID)
	}
	return string(b)
}

// AppendCBOR appends the array of the kind's length. It never returns an error.
func (s Subject) AppendCBOR(b []byte) ([]byte, error) {
	if s.Kind != SubjectDomain {
		return wire.AppendBytes(wire.AppendUint(wire.AppendArray(b, 2), uint64(s.Kind)), s.ID[:]), nil
	}
	b = wire.AppendBytes(wire.AppendUint(wire.AppendArray(b, 3), uint64(s.Kind)), s.ID[:])
	return wire.AppendUint(b, s.Generation), nil
}

// ReadCBOR reads what AppendCBOR appends.
func (s *Subject) ReadCBOR(from *wire.Items) {
	*s = Subject{}
	r := from.Array(2, 3)
	s.Kind = SubjectKind(r.Uint(math.MaxUint64))
	r.Fixed(s.ID[:])
	if r.Len() > 0 {
		s.Generation = r.Uint(math.MaxUint64)
	}
	from.Done(r)
}

// AppendCBOR appends the shortest array that holds the reference. It never returns
// an error.
func (k KeyRef) AppendCBOR(b []byte) ([]byte, error) {
	n := 3
	if len(k.Outputs) > 0 {
		n = 5
	} else if k.BPS != 0 {
		n = 4
	}
	b = wire.AppendBytes(wire.AppendArray(b, n), k.KID[:])
	b = wire.AppendBytes(wire.AppendUint(b, uint64(k.Tier)), k.Check[:])
	if n > 3 {
		b = wire.AppendUint(b, k.BPS)
	}
	if n > 4 {
		b = wire.AppendBytes(b, k.Outputs)
	}
	return b, nil
}

// itemLimit bounds a key reference and a sunset. Source: local.
func itemLimit() wire.Limit { return wire.Limit{Bytes: 256, Depth: 1} }

// ReadCBOR reads what AppendCBOR appends.
func (k *KeyRef) ReadCBOR(from *wire.Items) {
	*k = KeyRef{}
	r, err := wire.ItemsOf(from.Raw(), 3, 5, itemLimit())
	r.Fixed(k.KID[:])
	k.Tier = Tier(r.Uint(math.MaxUint64))
	r.Fixed(k.Check[:])
	if r.Len() > 0 {
		k.BPS = r.Uint(math.MaxUint64)
	}
	if r.Len() > 0 {
		k.Outputs = bytes.Clone(r.Bytes())
	}
	from.Join(r, err)
}

// AppendCBOR appends [mode, silence_ms, notice_key, ? free_after]. It never returns
// an error.
func (s Sunset) AppendCBOR(b []byte) ([]byte, error) {
	n := 3
	if s.FreeAfter != 0 {
		n = 4
	}
	b = wire.AppendInt(wire.AppendUint(wire.AppendArray(b, n), s.Mode), s.SilenceMS)
	b = wire.AppendBytes(b, s.NoticeKey)
	if n > 3 {
		b = wire.AppendInt(b, s.FreeAfter)
	}
	return b, nil
}

// ReadCBOR reads what AppendCBOR appends.
func (s *Sunset) ReadCBOR(from *wire.Items) {
	*s = Sunset{}
	r, err := wire.ItemsOf(from.Raw(), 3, 4, itemLimit())
	s.Mode, s.SilenceMS = r.Uint(math.MaxUint64), r.Int()
	s.NoticeKey = bytes.Clone(r.OptionalBytes())
	if r.Len() > 0 {
		s.FreeAfter = r.Int()
	}
	from.Join(r, err)
}
