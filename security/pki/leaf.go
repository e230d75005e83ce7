package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/binary"
	"time"
)

// What stands in every certificate of an end entity with a P-256 key, in DER, as
// Issue writes it. Source: docs/spec/certificates.md, Fields.
const (
	derVersion   = "\xa0\x03\x02\x01\x02"
	derECDSA     = "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02" // ecdsa-with-SHA256
	derKey       = "\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00"
	derCommon    = "\x06\x03\x55\x04\x03"
	derUsage     = "\x30\x0e\x06\x03\x55\x1d\x0f\x01\x01\xff\x04\x04\x03\x02"
	derRole      = "\x30\x15\x06\x03\x55\x1d\x25\x04\x0e\x30\x0c\x06\x0a" + derArc + "\x01"
	derNoCA      = "\x30\x0c\x06\x03\x55\x1d\x13\x01\x01\xff\x04\x02\x30\x00"
	derAuthority = "\x30\x13\x06\x03\x55\x1d\x23\x04\x0c\x30\x0a\x80\x08"
	derLevel     = "\x30\x25\x06\x03\x55\x1d\x20\x04\x1e\x30\x1c\x30\x0c\x06\x0a" + derArc + "\x02"
	derAnchor    = "\x30\x0c\x06\x0a" + derArc + "\x03"
	derMember    = "\x06\x09" + derArc + "\x04"
	derSLTP      = "\x06\x09" + derArc + "\x05"
	derArc       = "\x2b\x06\x01\x04\x01\x81\xfd\x59" // the project's, below which are roles and the rest
)

const pointLen = 65 // bytes of an uncompressed point

// end is the certificate of an end entity with all that it consists of, so that
// it is made in one piece.
type end struct {
	cert
	x    x509.Certificate
	m    member
	role [1]Role
	lvl  [1]Level
	anc  [1]Anchor
}

// readLeaf reads the certificate of an end entity with a P-256 key, which is all
// that is left to read below CAs that are known. It takes the form in which Issue
// writes one, a few literal strings with fields between them, in a sixth of the
// time of crypto/x509, and of the x509.Certificate it fills in what Verify and Peer
// ask for. Of anything else it is nil, and read says what that is. What it takes,
// read takes too, as the same (FuzzReadLeaf).
func readLeaf(der []byte) *cert {
	if len(der) > MaxCert {
		return nil
	}
	e := &end{}
	c := &e.cert
	c.Certificate, c.member = &e.x, &e.m
	whole := derReader{rest: der}
	in := derReader{rest: whole.field(tagSequence)}
	c.Raw, c.RawTBSCertificate = der, in.element(tagSequence)
	in.literal(derECDSA)
	if sig := in.field(tagBits); len(sig) > 1 && sig[0] == 0 {
		c.Signature = sig[1:]
	}
	content := derReader{rest: c.RawTBSCertificate}
	t := derReader{rest: content.field(tagSequence)}
	if !in.end() || !whole.end() || len(c.Signature) == 0 || !e.readContent(&t) {
		return nil
	}
	if !t.end() || c.checkUsage() != nil {
		return nil
	}
	return c
}

// readContent reads what is signed.
func (e *end) readContent(t *derReader) bool {
	c := &e.cert
	t.literal(derVersion)
	serial := t.field(tagInteger)
	t.literal(derECDSA)
	c.RawIssuer = t.element(tagSequence)
	from := derReader{rest: t.field(tagSequence)}
	var good bool
	if c.NotBefore, good = from.time(); !good {
		return false
	}
	if c.NotAfter, good = from.time(); !good || !from.end() {
		return false
	}
	if c.RawSubject = t.element(tagSequence); !commonName(c.RawSubject) || !commonName(c.RawIssuer) {
		return false
	}
	c.RawSubjectPublicKeyInfo = t.next(len(derKey) + pointLen)
	key := derReader{rest: c.RawSubjectPublicKeyInfo}
	key.literal(derKey)
	if key.bad {
		return false
	}
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), key.rest)
	if err != nil {
		return false
	}
	c.PublicKey = pub
	c.Version, c.SignatureAlgorithm, c.PublicKeyAlgorithm = 3, x509.ECDSAWithSHA256, x509.ECDSA
	outer := derReader{rest: t.field(tagExtensions)}
	ext := derReader{rest: outer.field(tagSequence)}
	return outer.end() && e.readExtensions(&ext) && ext.end() && e.readSerial(serial)
}

// readExtensions reads them in the order in which they are written.
func (e *end) readExtensions(x *derReader) bool {
	c := &e.cert
	x.literal(derUsage)
	switch usage := x.next(2); string(usage) {
	case "\x07\x80":
		c.KeyUsage = x509.KeyUsageDigitalSignature
	case "\x03\x08":
		c.KeyUsage = x509.KeyUsageKeyAgreement
	default:
		return false
	}
	e.role[0] = Role(x.after(derRole))
	x.literal(derNoCA)
	c.BasicConstraintsValid, c.MaxPathLen = true, -1
	x.literal(derAuthority)
	c.AuthorityKeyId = x.next(keyIDLen)
	e.lvl[0], e.anc[0] = Level(x.after(derLevel)), Anchor(x.after(derAnchor))
	if x.bad || !e.role[0].Valid() || !e.lvl[0].Valid() || !e.anc[0].Valid() {
		return false
	}
	c.roles, c.levels, c.anchors = e.role[:], e.lvl[:], e.anc[:]
	own := derReader{rest: x.field(tagSequence)}
	own.literal(derMember)
	if !e.m.read(own.field(tagOctets)) || !own.end() || e.m.Range != nil {
		return false
	}
	if !x.at(tagSequence) {
		return true
	}
	own = derReader{rest: x.field(tagSequence)}
	own.literal(derSLTP)
	var err error
	c.sltp, err = parseSLTP(own.field(tagOctets))
	return err == nil && own.end()
}

// readSerial reads the serial number, which must agree with the member extension.
func (e *end) readSerial(b []byte) bool {
	if len(b) != 9 {
		return false
	}
	e.kind = KeyKind(b[0])
	return (e.kind == KindSigning || e.kind == KindECDH) && binary.BigEndian.Uint32(b[1:]) == uint32(e.m.Class) && binary.BigEndian.Uint32(b[5:]) == e.m.Index
}

// commonName reports whether a name is a common name alone, of letters, digits and
// what else a PrintableString has.
func commonName(der []byte) bool {
	r := derReader{rest: der}
	names := derReader{rest: r.field(tagSequence)}
	set := derReader{rest: names.field(tagSet)}
	pair := derReader{rest: set.field(tagSequence)}
	pair.literal(derCommon)
	for _, b := range pair.field(tagPrintable) {
		if b != ' ' && (b < '\'' || b > ')') && (b < '+' || b > ':') && b != '=' && b != '?' && (b < 'A' || b > 'Z') && (b < 'a' || b > 'z') {
			return false
		}
	}
	return r.end() && names.end() && set.end() && pair.end()
}

// time is the next field, a UTCTime or GeneralizedTime in the forms of RFC 5280
// section 4.1.2.5.
func (r *derReader) time() (time.Time, bool) {
	var s []byte
	century := 0
	if r.at(tagGeneralizedTime) {
		if s = r.field(tagGeneralizedTime); string(s) == "99991231235959Z" {
			return Never(), true
		}
		if len(s) != 15 {
			return time.Time{}, false
		}
		century, s = int(two(s)), s[2:]
	} else if s = r.field(tagUTCTime); len(s) == 13 {
		if century = 20; two(s) >= 50 {
			century = 19
		}
	}
	if len(s) != 13 || s[12] != 'Z' {
		return time.Time{}, false
	}
	year, month, day, hour, minute, second := two(s), two(s[2:]), two(s[4:]), two(s[6:]), two(s[8:]), two(s[10:])
	if max(uint(century), year, month, day, hour, minute, second) > 99 {
		return time.Time{}, false
	}
	t := time.Date(100*century+int(year), time.Month(month), int(day), int(hour), int(minute), int(second), 0, time.UTC)
	// A date that there is not, such as 30 February, came out as another.
	_, m, d := t.Date()
	return t, m == time.Month(month) && d == int(day) && hour < 24 && minute < 60 && second < 60
}

// two reads two digits; anything else is above 99.
func two(s []byte) uint {
	hi, lo := uint(s[0]-'0'), uint(s[1]-'0')
	if hi > 9 || lo > 9 {
		return 100
	}
	return 10*hi + lo
}
