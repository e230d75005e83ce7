package authority

import (
	"crypto/x509"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/revocation"
)

// stateKey is the name of the state signer's key. Each generation has its own.
func (a *Authority) stateKey() string {
	if a.rec.Generation == 0 {
		return keyState
	}
	return strings.TrimSuffix(keyState, ".pem") + "-" + strconv.FormatUint(a.rec.Generation+1, 10) + ".pem"
}

// Generation is the state signer's: how often another one took its place.
func (a *Authority) Generation() uint64 { return a.rec.Generation }

// ChangeSigner puts a new state signer in the place of one whose key is lost or
// stolen: it makes a key, the root names it, the old signer's place is revoked, and
// the new one publishes. What the old one signs from now on, whatever number it
// gives it, counts for nobody who knows the new one. The old key is not needed.
func (a *Authority) ChangeSigner(now time.Time) error {
	old, err := x509.ParseCertificate(a.rec.State.Chain[0])
	if err != nil {
		return fmt.Errorf("authority: the state signer: %w", err)
	}
	_, place, ok := pki.SplitSerial(old.SerialNumber)
	if !ok {
		return fmt.Errorf("authority: the state signer: %w", revocation.ErrSigner)
	}
	a.rec.Generation++
	if _, err := a.newKey(a.stateKey(), UseSigners); err != nil {
		return err
	}
	if err := a.nameSigner(); err != nil {
		return err
	}
	if err := a.draft.RevokeDevice(place.Class, place.Index); err != nil {
		return err
	}
	a.rec.State = signer{} // Publish certifies the new one
	return a.Publish(now)
}

// nameSigner has the root that signs say whose heads count in this generation.
// The first one needs no word.
func (a *Authority) nameSigner() error {
	if a.rec.Generation == 0 {
		return nil
	}
	key, err := a.key(a.stateKey())
	if err != nil {
		return err
	}
	root, err := a.ca(RootClass)
	if err != nil {
		return err
	}
	if a.rec.Change, err = revocation.SignChange(root.Signer, root.Root, a.rec.Generation, key.Public()); err != nil {
		return fmt.Errorf("name the state signer: %w", err)
	}
	return nil
}
