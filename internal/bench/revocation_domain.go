package bench

import (
	"crypto/ecdsa"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/revocation"
)

// stateDomain is a trust domain of this run: a root, its state signer, and one
// maker with one class of devices of the fleet, so that a device's chain has
// three certificates.
type stateDomain struct {
	now     time.Time
	trust   *pki.TrustStore
	root    *x509.Certificate
	rootKey *ecdsa.PrivateKey
	key     *ecdsa.PrivateKey // of the state signer
	chain   [][]byte          // its certificate
	class   pki.Class         // of devices
	device  *pki.Authority    // its CA
	next    uint32            // device
	today   *revocation.Head  // of the state that is served last
}

func newStateDomain(now time.Time) (*stateDomain, error) {
	d := &stateDomain{now: now, class: fleetFirst + 1}
	var err error
	if d.rootKey, err = newP256(); err != nil {
		return nil, err
	}
	root, err := pki.IssueRoot(d.rootKey, pki.Profile{Name: "Bench Root", CA: &pki.CA{PathLen: 2, Range: pki.Range{First: 0, Last: pki.MaxClass}}}, now)
	if err != nil {
		return nil, fmt.Errorf("issue root: %w", err)
	}
	if d.root, err = x509.ParseCertificate(root); err != nil {
		return nil, fmt.Errorf("read root: %w", err)
	}
	if d.trust, err = pki.NewTrustStore(root); err != nil {
		return nil, err
	}
	up := &pki.Authority{Root: root, Signer: d.rootKey}
	if d.key, err = newP256(); err != nil {
		return nil, err
	}
	signer, err := pki.Issue(up, pki.Profile{
		Name: "Bench State Signer", Role: pki.StateSigner, Member: pki.Member{Index: 1}, Levels: []pki.Level{pki.SL1}, Anchors: []pki.Anchor{pki.A0},
		NotAfter: now.AddDate(0, 0, pki.MaxDays(pki.StateSigner)),
	}, d.key.Public(), now)
	if err != nil {
		return nil, fmt.Errorf("issue state signer: %w", err)
	}
	d.chain = [][]byte{signer}
	maker, err := d.ca(up, "Bench Maker", pki.Member{Index: 2}, 1, pki.Range{First: fleetFirst, Last: 2*fleetFirst - 1})
	if err != nil {
		return nil, err
	}
	d.device, err = d.ca(maker, "Bench Device Class", pki.Member{Class: fleetFirst}, 0, pki.Range{First: d.class, Last: d.class})
	return d, err
}

func (d *stateDomain) ca(up *pki.Authority, name string, m pki.Member, below int, classes pki.Range) (*pki.Authority, error) {
	key, err := newP256()
	if err != nil {
		return nil, err
	}
	der, err := pki.Issue(up, pki.Profile{
		Name: name, Role: pki.Device, Member: m, Levels: []pki.Level{pki.SL1}, Anchors: []pki.Anchor{pki.A0},
		CA: &pki.CA{PathLen: below, Range: classes},
	}, key.Public(), d.now)
	if err != nil {
		return nil, fmt.Errorf("issue %s: %w", name, err)
	}
	return &pki.Authority{Chain: append([][]byte{der}, up.Chain...), Root: up.Root, Signer: key}, nil
}

// chainOf certifies a new device that has this security version.
func (d *stateDomain) chainOf(svn uint32) ([][]byte, error) {
	key, err := newP256()
	if err != nil {
		return nil, err
	}
	der, err := pki.Issue(d.device, pki.Profile{
		Name: "Bench Device", Role: pki.Device, Member: pki.Member{Class: d.class, Index: d.next}, SVN: svn,
		Levels: []pki.Level{pki.SL1}, Anchors: []pki.Anchor{pki.A0},
	}, key.Public(), d.now)
	if err != nil {
		return nil, fmt.Errorf("issue device: %w", err)
	}
	d.next++
	return append([][]byte{der}, d.device.Chain...), nil
}

// builder has every class of the fleet, and nobody of it revoked one by one.
func (d *stateDomain) builder(f *fleet) (*revocation.Builder, error) {
	b := revocation.NewBuilder(nil)
	if err := b.Allot(0, 1); err != nil {
		return nil, err
	}
	for m := range fleetMakers {
		if err := b.Allot(pki.Class(fleetFirst*(1+m)), 1); err != nil {
			return nil, err
		}
	}
	for i := range f.classes {
		c := &f.classes[i]
		if err := b.Allot(c.id, c.size); err != nil {
			return nil, err
		}
		if err := b.SetMinSVN(c.id, c.svn); err != nil {
			return nil, err
		}
		if c.gone {
			if err := b.RevokeClass(c.id, revocation.KeyCompromise); err != nil {
				return nil, err
			}
		}
	}
	return b, nil
}

// registry is how many bytes say of a fleet which classes there are and how they
// stand, while nobody is revoked one by one.
func (d *stateDomain) registry(f *fleet) (int, error) {
	b, err := d.builder(f)
	if err != nil {
		return 0, err
	}
	s, err := d.sign(b, 1)
	if err != nil {
		return 0, err
	}
	return len(s.Snapshot()), nil
}

// sign makes the state of an epoch.
func (d *stateDomain) sign(b *revocation.Builder, number uint64) (*revocation.State, error) {
	return b.Sign(d.key, revocation.Issue{Epoch: pki.Epoch{Number: number}, IssuedAt: d.now, NextUpdate: d.now.Add(24 * time.Hour)})
}

// states makes a fleet's state and that of the day after.
func (d *stateDomain) states(f *fleet) (first, today *revocation.State, err error) {
	if first, err = d.build(f); err != nil {
		return nil, nil, err
	}
	b := revocation.NewBuilder(first)
	for i := range f.classes {
		if err := b.RevokeDevices(f.classes[i].id, f.classes[i].today); err != nil {
			return nil, nil, err
		}
	}
	today, err = d.sign(b, 3)
	return first, today, err
}
