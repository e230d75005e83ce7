package revocation

import (
	"slices"
	"testing"

	"github.com/lares-drm/lares/security/pki"
)

func TestState_MembersListsWhatCheckRefuses(t *testing.T) {
	b := NewBuilder(nil)
	if err := b.Allot(7, 3*PageSize); err != nil {
		t.Fatal(err)
	}
	want := []uint32{0, 5, 6, 7, PageSize - 1, PageSize, 3*PageSize - 1}
	for _, i := range want {
		if err := b.RevokeDevice(7, i); err != nil {
			t.Fatal(err)
		}
	}
	if got := slices.Collect(b.next.Members(7)); !slices.Equal(got, want) {
		t.Errorf("members %v, want %v", got, want)
	}
	for i := range b.next.Members(7) {
		if i == 6 {
			break // a reader may stop
		}
	}
	if got := slices.Collect(b.next.Members(pki.Class(8))); got != nil {
		t.Errorf("of no class: %v", got)
	}
	if err := b.RevokeClass(7, KeyCompromise); err != nil {
		t.Fatal(err)
	}
	if got := slices.Collect(b.next.Members(7)); got != nil {
		t.Errorf("of a revoked class: %v", got)
	}
}
