package pki

import (
	"encoding/asn1"
	"errors"

	"github.com/lares-drm/lares/license/ident"
)

// Interfaces says which doors a TREM has. Source: local, docs/spec/certificates.md.
type Interfaces uint32

// The doors of a TREM.
const (
	InputTREM        Interfaces = 1 << 0 // takes content keys, issues licenses
	IntermediateTREM Interfaces = 1 << 1 // takes licenses and hands them on
	DecoderTREM      Interfaces = 1 << 2 // decrypts content
)

// MaxImplementation is the longest implementation ID in bytes. Source: local, docs/spec/certificates.md.
const MaxImplementation = 32

// Range is the class IDs that may appear below a CA. The CA's own children
// have class First; the ranges of CAs below it lie within First+1 to Last.
type Range struct{ First, Last Class }

// Contains reports whether o lies within r.
func (r Range) Contains(o Range) bool {
	return r.First <= o.First && o.First <= o.Last && o.Last <= r.Last
}

// member is the content of the member extension.
type member struct {
	Member
	SVN            uint32
	Implementation []byte // which TREM implementation, opaque
	Interfaces     Interfaces
	Issuer         ident.Issuer // the issuer ID that the role asserts
	Range          *Range       // CAs only
}

type memberASN1 struct {
	Version        int
	Class          int64
	Index          int64
	SVN            int64
	Implementation []byte    `asn1:"optional,tag:0"`
	Interfaces     int64     `asn1:"optional,tag:1"`
	Issuer         []byte    `asn1:"optional,tag:2"`
	Range          rangeASN1 `asn1:"optional,tag:3"`
}

type rangeASN1 struct{ First, Last int64 }

var errMember = errors.New("not the extension's layout")

func (m *member) marshal() ([]byte, error) {
	a := memberASN1{Version: 1, Class: int64(m.Class), Index: int64(m.Index), SVN: int64(m.SVN), Interfaces: int64(m.Interfaces)}
	if len(m.Implementation) > 0 {
		a.Implementation = m.Implementation
	}
	if m.Issuer != "" {
		a.Issuer = []byte(m.Issuer)
	}
	if m.Range != nil {
		a.Range = rangeASN1{int64(m.Range.First), int64(m.Range.Last)}
	}
	return asn1.Marshal(a)
}

// parseMember reads the extension; anything but its one encoding is refused.
// It is read by hand, since it stands in every certificate: a field is taken
// only in the form in which marshal writes it.
func parseMember(der []byte) (*member, error) {
	m := &member{}
	if !m.read(der) {
		return nil, errMember
	}
	return m, nil
}

func (m *member) read(der []byte) bool {
	r := derReader{rest: der}
	in := derReader{rest: r.field(tagSequence)}
	version, class, index, svn := in.u32(tagInteger), in.u32(tagInteger), in.u32(tagInteger), in.u32(tagInteger)
	*m = member{Member: Member{Class: Class(class), Index: index}, SVN: svn}
	if in.at(tagImplementation) {
		m.Implementation = in.field(tagImplementation)
		in.want(len(m.Implementation) >= 1 && len(m.Implementation) <= MaxImplementation)
	}
	if in.at(tagInterfaces) {
		m.Interfaces = Interfaces(in.u32(tagInterfaces))
		in.want(m.Interfaces != 0)
	}
	if in.at(tagIssuer) {
		m.Issuer = ident.Issuer(in.field(tagIssuer))
		in.want(len(m.Issuer) >= 1 && len(m.Issuer) <= ident.MaxOpaque)
	}
	if in.at(tagRange) {
		bounds := derReader{rest: in.field(tagRange)}
		m.Range = &Range{First: Class(bounds.u32(tagInteger)), Last: Class(bounds.u32(tagInteger))}
		in.want(bounds.end() && m.Range.First <= m.Range.Last && m.Range.Last != 0)
	}
	return version == 1 && in.end() && r.end()
}
