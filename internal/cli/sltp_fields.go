package cli

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/security/sltp"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// traceLimit bounds what a trace reads.
func traceLimit() wire.Limit { return wire.Limit{Bytes: sltp.MaxMessage, Items: 256, Depth: 16} }

var errFields = errors.New("not what the page says")

// sequence splits a CBOR sequence.
func sequence(data []byte) (items []wire.RawMessage, err error) {
	for len(data) > 0 {
		var item wire.RawMessage
		if item, data, err = wire.Next(data, traceLimit()); err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

// bytesIn is the content of one byte string.
func bytesIn(item []byte) (b []byte, err error) {
	err = wire.Unmarshal(item, &b, traceLimit())
	return b, err
}

// plainly prints an item of a simple kind: a number, null, or bytes in hexadecimal.
func plainly(item []byte) string {
	var n int64
	var b []byte
	switch {
	case bytes.Equal(item, []byte{0xf6}):
		return "null"
	case wire.Unmarshal(item, &n, traceLimit()) == nil:
		return strconv.FormatInt(n, 10)
	case wire.Unmarshal(item, &b, traceLimit()) == nil:
		return hex.EncodeToString(b)
	}
	return hex.EncodeToString(item)
}

// named gives the elements of an array the names of the page. What has no
// element is left out.
func named(data []byte, names ...string) ([]tracedField, []wire.RawMessage, error) {
	items, err := wire.Array(data, 1, len(names), traceLimit())
	if err != nil {
		return nil, nil, err
	}
	fields := make([]tracedField, len(items))
	for i, item := range items {
		fields[i] = tracedField{Name: names[i], Value: plainly(item)}
	}
	return fields, items, nil
}

// epochIn explains an epoch.
func epochIn(f *tracedField) {
	if n, err := strconv.ParseUint(f.Value, 10, 64); err == nil {
		if e, err := sltp.EpochFromWire(n); err == nil {
			f.Note = "generation.number " + e.String()
		}
	}
}

func timeIn(f *tracedField) {
	if ms, err := strconv.ParseInt(f.Value, 10, 64); err == nil {
		f.Note = moment(ms)
	}
}

func (o *observer) message1(msg []byte) ([]tracedField, error) {
	items, err := sequence(msg)
	if err != nil || len(items) < 4 {
		return nil, errors.Join(errFields, err)
	}
	gx, err1 := bytesIn(items[2])
	cid, err2 := bytesIn(items[3])
	ead, err3 := eadIn("EAD_1", items[4:])
	return []tracedField{
		{Name: "METHOD", Value: plainly(items[0]), Note: "both sides sign"},
		{Name: "SUITES_I", Value: plainly(items[1]), Note: "the selected suite last"},
		o.share("G_X", gx),
		{Name: "C_I", Value: hex.EncodeToString(cid), Note: "connection ID of the Initiator"},
		ead,
	}, errors.Join(err1, err2, err3)
}

func (o *observer) message2(msg []byte) ([]tracedField, error) {
	plain, fields, err := o.start(msg)
	if err != nil {
		return nil, err
	}
	in, leaf, err := o.plaintext(plain, "R", "2")
	if err != nil {
		return nil, err
	}
	o.advance(plain, leaf)
	return append(fields, tracedField{Name: "PLAINTEXT_2", Fields: in}, keyField("TH_3", o.th, "SHA-256(TH_2, PLAINTEXT_2, CRED_R)")), nil
}

func (o *observer) message3(msg []byte) ([]tracedField, error) {
	plain, fields, err := o.open(msg, "3", kdfK3, kdfIV3)
	if err != nil {
		return nil, err
	}
	in, leaf, err := o.plaintext(plain, "I", "3")
	if err != nil {
		return nil, err
	}
	o.advance(plain, leaf)
	return append(fields, tracedField{Name: "PLAINTEXT_3", Fields: in}, keyField("TH_4", o.th, "SHA-256(TH_3, PLAINTEXT_3, CRED_I)")), nil
}

func (o *observer) message4(msg []byte) ([]tracedField, error) {
	plain, fields, err := o.open(msg, "4", kdfK4, kdfIV4)
	if err != nil {
		return nil, err
	}
	items, err := sequence(plain)
	if err != nil {
		return nil, err
	}
	ead, err := eadIn("EAD_4", items)
	if err != nil {
		return nil, err
	}
	derived, err := o.finish()
	fields = append(fields, tracedField{Name: "PLAINTEXT_4", Fields: []tracedField{ead}})
	return append(fields, tracedField{Name: "session", Note: "what both sides derive from PRK_2e and TH_4", Fields: derived}), err
}

// plaintext reads PLAINTEXT_2 or PLAINTEXT_3 and finds the certificate meant.
func (o *observer) plaintext(plain []byte, side, n string) (fields []tracedField, leaf []byte, err error) {
	items, err := sequence(plain)
	if err != nil {
		return nil, nil, err
	}
	if side == "R" && len(items) > 0 {
		fields = append(fields, tracedField{Name: "C_R", Value: plainly(items[0]), Note: "connection ID of the Responder"})
		items = items[1:]
	}
	if len(items) < 3 {
		return nil, nil, errFields
	}
	id, leaf, err := o.credential("ID_CRED_"+side, items[0])
	if err != nil {
		return nil, nil, err
	}
	ead, err := eadIn("EAD_"+n, items[2:])
	sig := tracedField{Name: "Signature_" + n, Value: plainly(items[1]), Note: "ES256 over ID_CRED_" + side + ", the transcript, CRED_" + side + ", EAD_" + n + " and MAC_" + n}
	return append(fields, id, sig, ead), leaf, err
}

// Numbers of packed chains: the header parameter of ID_CRED, and the item of
// EAD_1 and EAD_2 (docs/spec/sltp.md).
const (
	packedParam = -162224
	packedLabel = "62228"
)

// credential reads ID_CRED: {33: certificate or [certificates]}, the same
// packed, or {34: [alg, hash]}.
func (o *observer) credential(name string, item []byte) (tracedField, []byte, error) {
	var m map[int]wire.RawMessage
	if err := wire.Unmarshal(item, &m, traceLimit()); err != nil {
		return tracedField{}, nil, err
	}
	if v, ok := m[34]; ok {
		fields, items, err := named(v, "alg", "hash")
		if err != nil || len(items) != 2 {
			return tracedField{}, nil, errors.Join(errFields, err)
		}
		fields[0].Note = "SHA-256, first 8 bytes"
		for _, der := range o.certs {
			if h := hex.EncodeToString(edhoc.X5T(der).Hash); h == fields[1].Value {
				fields[1].Note = "of " + subject(der)
				return tracedField{Name: name, Note: "x5t: the peer holds the certificate", Fields: fields}, der, nil
			}
		}
		return tracedField{}, nil, errFields
	}
	if v, ok := m[packedParam]; ok {
		packed, err := bytesIn(v)
		if err != nil {
			return tracedField{}, nil, err
		}
		chain, err := edhoc.Unpack(packed)
		if err != nil {
			return tracedField{}, nil, err
		}
		f := chainIn(name, chain)
		f.Note = fmt.Sprintf("packed chain of %d bytes, which are: leaf first, without the root", len(packed))
		return f, chain[0], nil
	}
	items, err := wire.Array(m[33], 1, 8, traceLimit())
	if err != nil {
		return tracedField{}, nil, err
	}
	chain := make([][]byte, len(items))
	for i, item := range items {
		if chain[i], err = bytesIn(item); err != nil {
			return tracedField{}, nil, err
		}
	}
	return chainIn(name, chain), chain[0], nil
}

// chainIn shows the certificates of a chain.
func chainIn(name string, chain [][]byte) tracedField {
	f := tracedField{Name: name, Note: "x5chain: leaf first, without the root"}
	for i, der := range chain {
		f.Fields = append(f.Fields, tracedField{Name: "certificate " + strconv.Itoa(i), Value: subject(der), Note: fmt.Sprintf("%d bytes", len(der))})
	}
	return f
}

// subject is the name in a certificate.
func subject(der []byte) string {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return "a certificate that cannot be read"
	}
	return c.Subject.CommonName
}

// eadIn reads the item of an EAD, its label and its value, and the one that may
// stand behind it, which has no value.
func eadIn(name string, items []wire.RawMessage) (tracedField, error) {
	packs := len(items) == 3 && plainly(items[2]) == packedLabel
	if len(items) != 2 && !packs {
		return tracedField{}, errFields
	}
	value, err := bytesIn(items[1])
	if err != nil {
		return tracedField{}, err
	}
	read, ok := map[string]func([]byte) (string, []tracedField, error){"62224": helloIn, "-62225": statusIn, "-62226": requestIn, "-62227": replyIn}[plainly(items[0])]
	if !ok {
		return tracedField{}, errFields
	}
	kind, fields, err := read(value)
	note := kind
	if items[0][0]>>5 == 1 {
		note += "; critical"
	}
	if packs {
		fields = append(fields, tracedField{Name: "packed", Value: packedLabel, Note: "an item of its own: packed chains are taken"})
	}
	return tracedField{Name: name, Value: plainly(items[0]), Note: note, Fields: fields}, err
}

func helloIn(data []byte) (string, []tracedField, error) {
	f, _, err := named(data, "ver", "max_size", "epoch", "have")
	if err != nil || len(f) < 3 {
		return "", nil, errors.Join(errFields, err)
	}
	f[1].Note = "bytes of a message"
	epochIn(&f[2])
	if len(f) == 4 {
		f[3].Note = "x5t of the source's leaf: held here"
	}
	return "hello", f, nil
}

func statusIn(data []byte) (string, []tracedField, error) {
	f, _, err := named(data, "epoch", "head", "time_ms", "min_epoch", "proof")
	if err != nil || len(f) < 4 {
		return "", nil, errors.Join(errFields, err)
	}
	epochIn(&f[0])
	timeIn(&f[2])
	epochIn(&f[3])
	return "status", f, nil
}

func requestIn(data []byte) (string, []tracedField, error) {
	f, items, err := named(data, "dst", "purpose", "req_id", "epoch", "clock", "head", "body")
	if err != nil || len(f) != 7 {
		return "", nil, errors.Join(errFields, err)
	}
	f[0].Note = "the source that is addressed"
	f[1].Note = map[string]string{"1": "a license", "2": "a move or allowance", "3": "closing messages"}[f[1].Value]
	f[2].Note = "the same in every repetition"
	epochIn(&f[3])
	if f[4].Fields, _, err = named(items[4], "ms", "quality"); err != nil {
		return "", nil, err
	}
	f[4].Value = ""
	timeIn(&f[4].Fields[0])
	f[6], err = bodyIn(items[6])
	return "request", f, err
}

func replyIn(data []byte) (string, []tracedField, error) {
	f, items, err := named(data, "req_id", "status", "body", "head", "delta or time_ms", "time_ms")
	if err != nil || len(f) < 4 {
		return "", nil, errors.Join(errFields, err)
	}
	f[1].Note = map[string]string{"0": "done", "1": "refused", "2": "try later"}[f[1].Value]
	if len(items) == 5 && items[4][0]>>5 == 0 {
		f[4].Name = "time_ms"
		timeIn(&f[4])
	}
	f[2], err = bodyIn(items[2])
	return "reply", f, err
}

// bodyIn reads the bodies that a trace sends.
func bodyIn(data []byte) (tracedField, error) {
	f := tracedField{Name: "body"}
	n, _ := sltp.Body(data).Number()
	var err error
	switch n {
	case sltp.NumberLicenseRequest:
		f.Value = "LICENSE-REQ"
		f.Fields, err = licenseRequestIn(data)
	case sltp.NumberLicense:
		f.Value = "LICENSE"
		f.Fields, err = licenseIn(data)
	default:
		err = errFields
	}
	return f, err
}

func licenseRequestIn(data []byte) ([]tracedField, error) {
	r, err := sltp.ParseLicenseRequest(data)
	return []tracedField{
		{Name: "what", Value: r.What.Content.String(), Note: "content ID"},
		{Name: "permission", Value: fmt.Sprint(r.Permission), Note: "docs/spec/permission.md; 1 is PLAY"},
		{Name: "subject", Value: hex.EncodeToString(r.Subject.ID[:]), Note: fmt.Sprintf("domain, generation %d", r.Subject.Generation)},
		{Name: "tiers", Value: fmt.Sprint(r.Tiers)},
		{Name: "level", Value: fmt.Sprint(r.Level), Note: "security level of the asker"},
	}, err
}

func licenseIn(data []byte) ([]tracedField, error) {
	l, err := sltp.ParseLicense(data)
	if err != nil {
		return nil, err
	}
	var f []tracedField
	for _, one := range l.Chain {
		lic, err := license.Inspect(one)
		if err != nil {
			return nil, err
		}
		f = append(f, tracedField{Name: "license", Value: lic.Units().Text(), Note: fmt.Sprintf("%s, %d bytes", lic.Info().Content, len(one))})
	}
	return append(f, tracedField{Name: "KeyBundle", Value: fmt.Sprintf("%d bytes", len(l.Bundle)), Note: "content keys, which a trace does not show"}), nil
}
