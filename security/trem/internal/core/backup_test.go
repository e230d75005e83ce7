package core

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/recovery"
)

// What a module knows of restores is in a compacted log as well.
func TestBackup_6_RecordsSurviveCompaction(t *testing.T) {
	a := &Core{}
	a.backups = backups{
		key:      &recovery.Public{Sign: repeat(1, recovery.SignKeySize), Seal: repeat(2, recovery.SealKeySize)},
		restored: &restoredRecord{Restore: repeat(3, 64), Generation: 4, Old: ident.Device{5}},
		rival:    &rivalRecord{Restore: repeat(8, 64), Generation: 9, Manager: ident.Device{10}},
		followed: &followedRecord{Domain: ident.Domain{11}, Restore: repeat(12, 64), Manager: ident.Device{13}, Generation: 14, Rival: repeat(15, 64)},
	}
	var s log
	a.snapshotRecovery(&s)
	if s.err != nil || len(s.recs) != 4 {
		t.Fatalf("%d records: %v", len(s.recs), s.err)
	}
	b := &Core{}
	for _, r := range s.recs {
		if err := b.replay(r); err != nil {
			t.Fatal(err)
		}
	}
	opts := cmp.AllowUnexported(backups{}, recovery.Code{})
	ignore := cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "offered" }, cmp.Ignore())
	if d := cmp.Diff(a.backups, b.backups, opts, ignore); d != "" {
		t.Error(d)
	}
}
