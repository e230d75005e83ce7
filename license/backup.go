package license

import "github.com/lares-drm/lares/license/permission"

// RestoredBy says who can restore the license when its home server is lost: the
// policy's backup, or what stands for none (docs/spec/license.md, key 4): the
// issuer for a purchase, else nobody.
func (l *License) RestoredBy() Backup {
	if b := l.info.Policy.Backup; b != 0 {
		return b
	}
	if c := l.units.Classification; c != nil && c.Charge == permission.ChargePurchase {
		return BackupIssuer
	}
	return BackupNone
}

// Steady reports whether a license that was held once is held for ever: it has
// no state and cannot leave. Only such a license may come back from a backup by
// itself; of any other the backup may be older than what became of it.
func (l *License) Steady() bool {
	m := l.units.Management
	return l.info.Stateless() && !l.Derived() && (m == nil || m.Move == permission.MoveNone)
}
