package authority

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/revocation"
)

// Errors of an authority. Callers branch on them.
var (
	ErrExists  = errors.New("authority: a ceremony was held here already")
	ErrAbsent  = errors.New("authority: no ceremony was held here yet")
	ErrNoClass = errors.New("authority: no such class")
	ErrNoEpoch = errors.New("authority: epoch is not kept")
	ErrTooSoon = errors.New("authority: as many epochs as hours since T0: publish again in an hour")
)

// Authority is a trust domain's CAs and signers. It belongs to one goroutine;
// between processes, the folder's Lock decides.
type Authority struct {
	dir   Dir
	rec   record
	saved []byte // recordFile as last read or written
	trust *pki.TrustStore
	state *revocation.State // published
	draft *revocation.Builder
}

// Ceremony makes a trust domain: root, first-level CAs, one device class CA,
// state signer, time signer, and publishes the first epoch.
func Ceremony(dir Dir, cfg Config, now time.Time) (*Authority, error) {
	cfg, err := cfg.WithDefaults()
	if err != nil {
		return nil, err
	}
	if _, err := dir.Read(recordFile); err == nil {
		return nil, ErrExists
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("authority: %w", err)
	}
	if err := plan(dir, cfg.Keys); err != nil {
		return nil, err
	}
	a := &Authority{dir: dir, draft: revocation.NewBuilder(nil)}
	a.rec = record{Version: recordVersion, Config: cfg.stored(), Next: map[uint32]uint32{}, CAs: []ca{}, Vouchers: []voucher{}}
	for range 1 + cfg.SpareRoots {
		if err := a.addRoot(now); err != nil {
			return nil, err
		}
	}
	if err := a.trustRoots(); err != nil {
		return nil, err
	}
	if err := a.draft.Allot(RootClass, 1); err != nil {
		return nil, err
	}
	for _, c := range []ca{
		{Name: cfg.Name + " Content Provider CA", Role: uint8(pki.ContentProvider), First: uint32(ProviderClass), Last: uint32(ProviderClass)},
		{Name: cfg.Name + " License Issuer CA", Role: uint8(pki.LicenseIssuer), First: uint32(IssuerClass), Last: uint32(IssuerClass)},
		{Name: cfg.Name + " Home Server CA", Role: uint8(pki.HomeServer), First: uint32(HomeServerClass), Last: uint32(HomeServerClass)},
		{Name: cfg.Manufacturer + " Device Manufacturer CA", Role: uint8(pki.Device), First: uint32(cfg.FirstClass), Last: uint32(cfg.LastClass)},
	} {
		if err := a.addCA(RootClass, c, Grants{}, now); err != nil {
			return nil, err
		}
	}
	if err := a.addDeviceClass(cfg.DeviceClass, Grants{}, now); err != nil {
		return nil, err
	}
	return a, a.Publish(now) // renews, that is makes, the signers
}

// Open reads a trust domain and checks its published epoch.
func Open(dir Dir) (*Authority, error) {
	data, err := dir.Read(recordFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrAbsent
	}
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	a := &Authority{dir: dir, saved: data}
	if err := a.rec.read(data); err != nil {
		return nil, fmt.Errorf("authority: read %s: %w", recordFile, err)
	}
	if err := a.trustRoots(); err != nil {
		return nil, err
	}
	if a.state, err = a.StateAt(a.rec.Epoch); err != nil {
		return nil, err
	}
	a.draft = revocation.NewBuilder(a.state)
	return a, nil
}

// Stale reports whether another process has changed the folder since.
func (a *Authority) Stale() (bool, error) {
	data, err := a.dir.Read(recordFile)
	if err != nil {
		return false, fmt.Errorf("authority: %w", err)
	}
	return !bytes.Equal(data, a.saved), nil
}

// Name is the trust domain's.
func (a *Authority) Name() string { return a.rec.Config.Name }

// ClassInfo is what an authority knows of a class that it issues.
type ClassInfo struct {
	Name    string   `json:"name"`
	Role    pki.Role `json:"role,omitempty"` // 0 for the root's
	Members uint32   `json:"members"`        // next index: that many were numbered
	OnlyCAs bool     `json:"only_cas"`       // its members are CAs
	revocation.Leaf
}

// Classes lists the classes by ID, the root's first, with their published status.
func (a *Authority) Classes() []ClassInfo {
	var out []ClassInfo
	for _, l := range a.state.Leaves() {
		info := ClassInfo{Name: a.rec.Config.Name + " Root", OnlyCAs: true, Members: a.rec.Next[uint32(l.Class)], Leaf: l}
		if c := a.find(l.Class); c != nil {
			info.Name, info.Role, info.OnlyCAs = c.Name, pki.Role(c.Role), c.First != c.Last
		}
		out = append(out, info)
	}
	return out
}

// DeviceClass is the first active device class, which enrollment without a
// class uses; 0 when there is none.
func (a *Authority) DeviceClass() pki.Class {
	for _, c := range a.rec.CAs {
		if pki.Role(c.Role) != pki.Device || c.First != c.Last {
			continue
		}
		if l, ok := a.state.Leaf(pki.Class(c.First)); ok && l.Status == revocation.Active {
			return pki.Class(c.First)
		}
	}
	return 0
}

// Grants are the levels and anchors that a class CA may put into certificates.
// Empty ones mean all that the ceremony allowed.
type Grants struct {
	Levels  []pki.Level
	Anchors []pki.Anchor
}

// AddDeviceClass makes a device class CA with the next free class of the
// manufacturer's range, and publishes.
func (a *Authority) AddDeviceClass(name string, g Grants, now time.Time) (pki.Class, error) {
	if err := a.addDeviceClass(name, g, now); err != nil {
		return 0, err
	}
	class := pki.Class(a.rec.CAs[len(a.rec.CAs)-1].First)
	return class, a.Publish(now)
}

func (a *Authority) addDeviceClass(name string, g Grants, now time.Time) error {
	if name == "" || len(name) > 40 {
		return fmt.Errorf("%w: a class name has 1 to 40 bytes", ErrConfig)
	}
	var maker *ca
	next := uint32(0)
	for i := range a.rec.CAs {
		c := &a.rec.CAs[i]
		if pki.Role(c.Role) == pki.Device && c.First != c.Last {
			maker = c
		}
		next = max(next, c.First+1)
	}
	if maker == nil || next > maker.Last {
		return fmt.Errorf("%w: the manufacturer's range is used up", ErrNoClass)
	}
	parent := pki.Class(maker.First)
	full := fmt.Sprintf("Device Class %d CA: %s", next, name)
	return a.addCA(parent, ca{Name: full, Role: uint8(pki.Device), First: next, Last: next}, g, now)
}

// addCA certifies a new CA and allots the first block of its class.
func (a *Authority) addCA(parent pki.Class, c ca, g Grants, now time.Time) error {
	up, err := a.ca(parent)
	if err != nil {
		return err
	}
	use := UseFirst
	if parent != RootClass {
		use = UseClass
	}
	key, err := a.newKey(keyOf(pki.Class(c.First)), use)
	if err != nil {
		return err
	}
	p := a.caProfile(parent, &c)
	if len(g.Levels) > 0 {
		p.Levels = g.Levels
	}
	if len(g.Anchors) > 0 {
		p.Anchors = g.Anchors
	}
	der, err := pki.Issue(up, p, key.Public(), now)
	if err != nil {
		return fmt.Errorf("certify %s: %w", c.Name, err)
	}
	a.rec.Next[uint32(parent)]++
	c.Chain = append([][]byte{der}, up.Chain...)
	a.rec.CAs = append(a.rec.CAs, c)
	return a.draft.Allot(pki.Class(c.First), 1)
}

// caProfile is what the certificate of a CA says that the CA of the parent
// class is to sign.
func (a *Authority) caProfile(parent pki.Class, c *ca) pki.Profile {
	p := pki.Profile{
		Name: c.Name, Role: pki.Role(c.Role), Member: a.next(parent),
		CA: &pki.CA{Range: pki.Range{First: pki.Class(c.First), Last: pki.Class(c.Last)}},
	}
	if c.First != c.Last {
		p.CA.PathLen = 1
	}
	p.Levels, p.Anchors = a.rec.Config.grants()
	return p
}

// next is the next free place of a class.
func (a *Authority) next(class pki.Class) pki.Member {
	return pki.Member{Class: class, Index: a.rec.Next[uint32(class)]}
}

func (c *Config) stored() config {
	out := config{
		Name: c.Name, HomeServerDays: c.HomeServerDays, ProviderDays: c.ProviderDays, IssuerDays: c.IssuerDays,
		SignerDays: c.SignerDays, NextUpdateHours: c.NextUpdateHours,
	}
	for _, l := range c.Levels {
		out.Levels = append(out.Levels, int(l))
	}
	for _, n := range c.Anchors {
		out.Anchors = append(out.Anchors, int(n))
	}
	return out
}

func (c *config) grants() (levels []pki.Level, anchors []pki.Anchor) {
	for _, l := range c.Levels {
		levels = append(levels, pki.Level(l)) //nolint:gosec // checked at the ceremony
	}
	for _, n := range c.Anchors {
		anchors = append(anchors, pki.Anchor(n)) //nolint:gosec // as above
	}
	return levels, anchors
}

func (c *config) days(r pki.Role) int {
	full := Config{HomeServerDays: c.HomeServerDays, ProviderDays: c.ProviderDays, IssuerDays: c.IssuerDays, SignerDays: c.SignerDays}
	return full.days(r)
}
