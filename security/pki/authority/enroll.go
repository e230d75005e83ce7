package authority

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
)

// ErrVoucher is returned when a party needs a voucher and shows none that holds.
var ErrVoucher = errors.New("authority: no valid enrollment voucher")

// ErrRequest is returned for an enrollment that no certificate can answer.
var ErrRequest = errors.New("authority: enrollment request")

// Request asks for a party's certificates.
type Request struct {
	Role           pki.Role
	Class          pki.Class    // of a device; 0 = the first active device class. Others: 0
	Signing        []byte       // PKCS#10 of the signing key
	Delivery       []byte       // PKCS#10 of the delivery key
	Issuer         ident.Issuer // of a license issuer, or of a home server (default: 16 random bytes, the household's domain ID)
	Name           string       // common name; default the role's
	Level          pki.Level    // default SL1; over the network what the party says of itself
	Anchor         pki.Anchor   // likewise
	SVN            uint32
	Implementation []byte
	Stated         bool // take security version and implementation from the signing request, as far as it says them
}

// Certified is the answer.
type Certified struct {
	Member   pki.Member
	Device   ident.Device
	Chain    [][]byte // leaf first, root not included
	Delivery []byte   // certificate of the delivery key
	Roots    [][]byte
}

// Enroll certifies a party for the operator, who has checked it.
func (a *Authority) Enroll(r Request, now time.Time) (*Certified, error) {
	p, class, err := a.profile(r, now)
	if err != nil {
		return nil, err
	}
	signing, delivery, err := bothKeys(r.Signing, r.Delivery)
	if err != nil {
		return nil, err
	}
	if p.Role == pki.LicenseIssuer {
		a.heard(p.Issuer, now)
	}
	return a.certify(class, p, signing, delivery, now)
}

// bothKeys reads the signing requests of a party's two keys.
func bothKeys(forSigning, forDelivery []byte) (signing, delivery *ecdsa.PublicKey, err error) {
	if signing, err = pki.ParseRequest(forSigning); err != nil {
		return nil, nil, fmt.Errorf("signing key: %w", err)
	}
	if delivery, err = pki.ParseRequest(forDelivery); err != nil {
		return nil, nil, fmt.Errorf("delivery key: %w", err)
	}
	if signing.Equal(delivery) {
		return nil, nil, fmt.Errorf("%w: one key for signing and delivery", ErrRequest)
	}
	return signing, delivery, nil
}

// certify gives a party its certificates and the next place of its class.
func (a *Authority) certify(class pki.Class, p pki.Profile, signing, delivery *ecdsa.PublicKey, now time.Time) (*Certified, error) {
	b, err := a.batch(class, p, 1, now)
	if err != nil {
		return nil, err
	}
	out, err := b.Certify(0, signing, delivery)
	if err != nil {
		return nil, err
	}
	return out, b.Commit()
}

// profile decides what the certificate says.
func (a *Authority) profile(r Request, now time.Time) (pki.Profile, pki.Class, error) {
	class := map[pki.Role]pki.Class{pki.ContentProvider: ProviderClass, pki.LicenseIssuer: IssuerClass, pki.HomeServer: HomeServerClass}[r.Role]
	if r.Role == pki.Device {
		if class = r.Class; class == 0 {
			class = a.DeviceClass()
		}
		if c := a.find(class); c == nil || pki.Role(c.Role) != pki.Device || c.First != c.Last {
			return pki.Profile{}, 0, fmt.Errorf("%w: device class %v", ErrNoClass, class)
		}
	}
	if class == 0 || r.Role != pki.Device && r.Class != 0 && r.Class != class {
		return pki.Profile{}, 0, fmt.Errorf("%w: a %s of class %v", ErrRequest, r.Role, r.Class)
	}
	p := pki.Profile{
		Name: r.Name, Role: r.Role, Member: a.next(class), SVN: r.SVN, Implementation: r.Implementation, Issuer: r.Issuer,
		Levels: []pki.Level{max(r.Level, pki.SL1)}, Anchors: []pki.Anchor{r.Anchor},
		Interfaces: map[pki.Role]pki.Interfaces{
			pki.ContentProvider: pki.InputTREM, pki.LicenseIssuer: pki.InputTREM, pki.HomeServer: pki.IntermediateTREM, pki.Device: pki.DecoderTREM,
		}[r.Role],
	}
	if r.Stated {
		if err := stated(&p, r.Signing); err != nil {
			return pki.Profile{}, 0, err
		}
	}
	if r.Role == pki.LicenseIssuer && r.Issuer == "" {
		return pki.Profile{}, 0, fmt.Errorf("%w: a license issuer has an issuer ID", ErrRequest)
	}
	if r.Role == pki.HomeServer && r.Issuer == "" {
		id := ident.NewDomain()
		p.Issuer = ident.Issuer(id[:])
	}
	if days := a.rec.Config.days(r.Role); days > 0 {
		p.NotAfter = now.AddDate(0, 0, days)
	}
	return p, class, nil
}

// stated takes over what a module says of itself.
func stated(p *pki.Profile, request []byte) error {
	m, err := pki.ModuleOf(request)
	if err != nil {
		return fmt.Errorf("signing key: %w", err)
	}
	if m != nil {
		p.SVN, p.Implementation = m.SVN, m.Implementation
	}
	return nil
}

// Voucher lets one party enroll over the network.
type Voucher struct {
	Role    pki.Role
	Class   pki.Class    // as in Request
	Issuer  ident.Issuer // as in Request
	Level   pki.Level    // the highest that the party may be certified as; default SL1
	Anchor  pki.Anchor   // likewise
	Expires time.Time
}

// voucherBytes is the strength of a code: 80 bits.
const voucherBytes = 10

// NewVoucher makes a code that works once. Only its hash is kept.
func (a *Authority) NewVoucher(v Voucher, now time.Time) (code string, err error) {
	if err := a.try(Request{Role: v.Role, Class: v.Class, Issuer: v.Issuer, Level: v.Level, Anchor: v.Anchor}, now); err != nil {
		return "", err
	}
	var b [voucherBytes]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("authority: %w", err)
	}
	code = base32.StdEncoding.EncodeToString(b[:])
	code = strings.Join([]string{code[:4], code[4:8], code[8:12], code[12:]}, "-")
	a.dropVouchers(now)
	a.rec.Vouchers = append(a.rec.Vouchers, voucher{
		Hash: codeHash(code), Role: uint8(v.Role), Class: uint32(v.Class), Issuer: []byte(v.Issuer), Expires: v.Expires.UnixMilli(),
	})
	if v.Level > pki.SL1 || v.Anchor > pki.A0 {
		a.rec.Vouched = append(a.rec.Vouched, vouched{Hash: codeHash(code), Level: uint8(v.Level), Anchor: uint8(v.Anchor)})
	}
	return code, a.save()
}

// try makes the certificate that a voucher is for, with a throw-away key: what
// the class's CA may not grant is refused before a code exists.
func (a *Authority) try(r Request, now time.Time) error {
	p, class, err := a.profile(r, now)
	if err != nil {
		return err
	}
	ca, err := a.ca(class)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("authority: %w", err)
	}
	p.Name = cmp.Or(p.Name, r.Role.String())
	_, err = pki.Issue(ca, p, key.Public(), now)
	return err
}

func (a *Authority) dropVouchers(now time.Time) {
	a.rec.Vouchers = slices.DeleteFunc(a.rec.Vouchers, func(v voucher) bool { return v.Expires <= now.UnixMilli() })
	a.rec.Vouched = slices.DeleteFunc(a.rec.Vouched, func(v vouched) bool {
		return !slices.ContainsFunc(a.rec.Vouchers, func(of voucher) bool { return of.Hash == v.Hash })
	})
}

// limit lowers what a party says of itself to what the operator answers for
// with a voucher. An authority has no other evidence: over the network a key in
// a TPM looks like any other.
func (a *Authority) limit(r *Request, hash [32]byte) {
	top := vouched{Level: uint8(pki.SL1)}
	if i := slices.IndexFunc(a.rec.Vouched, func(v vouched) bool { return v.Hash == hash }); i >= 0 {
		top = a.rec.Vouched[i]
	}
	r.Level, r.Anchor = min(max(r.Level, pki.SL1), pki.Level(top.Level)), min(r.Anchor, pki.Anchor(top.Anchor))
}

func codeHash(code string) [32]byte {
	return sha256.Sum256([]byte("lares enrollment voucher\x00" + strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(code))))
}

// EnrollOnline certifies a party that came over the network, with a voucher that
// decides role, class and issuer ID, and the highest level and anchor. A device
// needs none when open is true, and is SL1 without anchor then.
func (a *Authority) EnrollOnline(r Request, code string, open bool, now time.Time) (*Certified, error) {
	r.Name, r.Issuer = "", ""
	if open && code == "" && r.Role == pki.Device {
		r.Level, r.Anchor = pki.SL1, pki.A0
		return a.Enroll(r, now)
	}
	a.dropVouchers(now)
	i := slices.IndexFunc(a.rec.Vouchers, func(v voucher) bool { return v.Hash == codeHash(code) })
	if i < 0 {
		return nil, ErrVoucher
	}
	v := a.rec.Vouchers[i]
	if pki.Role(v.Role) != r.Role || r.Class != 0 && v.Class != 0 && r.Class != pki.Class(v.Class) {
		return nil, ErrVoucher
	}
	if v.Class != 0 {
		r.Class = pki.Class(v.Class)
	}
	r.Issuer = ident.Issuer(v.Issuer)
	a.limit(&r, v.Hash)
	a.rec.Vouchers = slices.Delete(a.rec.Vouchers, i, i+1) // Enroll saves; a failed one leaves the code usable
	r.Stated = true
	c, err := a.Enroll(r, now)
	if err != nil {
		a.rec.Vouchers = append(a.rec.Vouchers, v)
	}
	return c, err
}

// listBlock is how many entries a file of the list has.
const listBlock = 256

func listFile(class pki.Class, block uint32) string {
	return "issued-" + class.String() + "-" + strconv.FormatUint(uint64(block), 10) + ".cbor"
}

// list writes entries of the list of the issued, ascending. An entry at or above
// the class's next index is of a crash, and is replaced.
func (a *Authority) list(class pki.Class, added []Entry) error {
	for len(added) > 0 {
		no := added[0].Index / listBlock
		entries, err := a.block(class, no)
		if err != nil {
			return err
		}
		entries = slices.DeleteFunc(entries, func(old Entry) bool { return old.Index >= added[0].Index })
		n := slices.IndexFunc(added, func(e Entry) bool { return e.Index/listBlock != no })
		if n < 0 {
			n = len(added)
		}
		data, err := wire.Marshal(append(entries, added[:n]...))
		if err != nil {
			return err
		}
		if err := a.dir.WriteAtomic(listFile(class, no), data); err != nil {
			return err
		}
		added = added[n:]
	}
	return nil
}

func (a *Authority) block(class pki.Class, block uint32) ([]Entry, error) {
	data, err := a.dir.Read(listFile(class, block))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	var out []Entry
	if err := wire.Unmarshal(data, &out, wire.Limit{Bytes: 1 << 16, Items: listBlock, Depth: 3}); err != nil {
		return nil, fmt.Errorf("authority: list of class %v: %w", class, err)
	}
	return out, nil
}

// Issued lists the parties of a class, by index.
func (a *Authority) Issued(class pki.Class) ([]Entry, error) {
	var out []Entry
	n := a.rec.Next[uint32(class)]
	for b := uint32(0); b*listBlock < n; b++ {
		entries, err := a.block(class, b)
		if err != nil {
			return nil, err
		}
		out = append(out, entries...)
	}
	return slices.DeleteFunc(out, func(e Entry) bool { return e.Index >= n }), nil
}

// Find is the places of a device by its ID: it gets a new one with each renewal.
func (a *Authority) Find(id ident.Device) ([]pki.Member, error) {
	var out []pki.Member
	for _, c := range a.rec.CAs {
		entries, err := a.Issued(pki.Class(c.First))
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.Device == id {
				out = append(out, pki.Member{Class: pki.Class(c.First), Index: e.Index})
			}
		}
	}
	return out, nil
}
