package bench

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRevocation_RowsAreStable(t *testing.T) {
	got, err := runRevocation(t.Context(), Config{Quick: true})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"serve the state of 1 M of 100 M: memory of the process, most"}
	for _, size := range []string{"10 M", "100 M"} {
		for _, kind := range fleetKinds() {
			name := size + ", " + kind.name
			want = append(want, name+": revoked one by one", name+": revoked on the day", name+": snapshot, registry alone")
			if !kind.lots {
				want = append(want, name+": snapshot, information bound")
			}
			want = append(want, name+": snapshot, RSL", name+": snapshot, RSL without registry")
			if !kind.lots {
				against := clubcardAlone
				if kind.share < 0.001 && size == "10 M" {
					against = clubcardSmaller
				}
				want = append(want, name+": snapshot, "+against, name+": snapshot, "+clubcardWith)
			}
			want = append(want, peersOf(name+": snapshot, ")...)
			if !kind.lots {
				want = append(want, name+": delta, information bound")
			}
			want = append(want, name+": delta, RSL with its head")
			want = append(want, peersOf(name+": delta, ")...)
		}
	}
	for _, what := range []string{": bytes, median", ": verify after the head"} {
		for _, kind := range fleetKinds()[:3] {
			want = append(want, "stapled proof, 100 M, "+kind.name+what)
		}
	}
	want = slices.Insert(want, len(want)-3,
		"build 1 M of 100 M: lists to signed state and snapshot",
		"lookup, 1 M of 100 M: device in good standing",
		"lookup, 1 M of 100 M: revoked device",
	)
	want = append(want, "one ECDSA P-256 verification", "chain of three, CAs met before", "chain of three, CAs met before: against one ECDSA verification")
	var names []string
	for _, r := range got {
		names = append(names, r.Name)
		if r.Value <= 0 || r.Unit == "" || r.Bar == "" && !r.Holds {
			t.Errorf("%s: %v %s, holds %v", r.Name, r.Value, r.Unit, r.Holds)
		}
	}
	if d := cmp.Diff(want, names); d != "" {
		t.Error(d)
	}
}

func peersOf(prefix string) []string {
	return []string{prefix + "RFC 5280 CRL, 16-byte serials", prefix + "Bloom filter cascade", prefix + "Clubcard", prefix + "Roaring"}
}

// Peers that err would be shorter than they may be: each is asked about every
// device, not only those that a run asks about.
func TestRevocation_PeersAreExact(t *testing.T) {
	for _, lots := range []bool{false, true} {
		f := newFleet("small", 200_000, 0.02, lots)
		snapshot, day := f.sets()
		for _, s := range []set{snapshot, day} {
			c, err := newCascade(s)
			if err != nil {
				t.Fatal(err)
			}
			exact(t, s, "Bloom filter cascade", c.has)
			for _, width := range []int{1, 2, 4} {
				if c := newClubcard(s, width); c != nil {
					exact(t, s, clubcardName, c.has)
				} else if width == maxWidth {
					t.Error("the widest ribbon does not do")
				}
			}
		}
	}
}

func exact(t *testing.T, s set, name string, has answer) {
	t.Helper()
	members := 0
	s.each(func(at uint32) {
		if members++; !has(at) {
			t.Errorf("%s: member %d is not found", name, at)
		}
	})
	if wrong, ok := s.others(has, 0); !ok || len(wrong) > 0 || members != s.n || s.n == 0 {
		t.Errorf("%s: %d others are taken for members; %d members, want %d", name, len(wrong), members, s.n)
	}
	if err := s.verify(name, has); err != nil {
		t.Error(err)
	}
	if s.verify(name, func(uint32) bool { return false }) == nil || s.verify(name, func(uint32) bool { return true }) == nil {
		t.Errorf("%s: verify is content with who always says the same", name)
	}
}

func TestRevocation_FleetIsWhatItSays(t *testing.T) {
	for _, kind := range fleetKinds() {
		f := newFleet(kind.name, 3_000_000, kind.share, kind.lots)
		devices, revoked, today, gone := 0, 0, 0, 0
		for _, c := range f.classes {
			if c.gone {
				gone++
				continue
			}
			devices, revoked, today = devices+int(c.size), revoked+len(c.revoked), today+len(c.today)
			if !slices.IsSorted(c.revoked) || !slices.IsSorted(c.today) || len(c.revoked) > 0 && c.revoked[len(c.revoked)-1] >= c.size {
				t.Fatalf("%s: class %v is not as it should be", kind.name, c.id)
			}
			for _, at := range c.today {
				if c.isRevoked(at) {
					t.Fatalf("%s: %v/%d is revoked twice", kind.name, c.id, at)
				}
			}
		}
		if devices != f.devices || revoked != f.revoked || today != f.today || gone != fleetGone || len(f.classes) != 1000 {
			t.Errorf("%s: %d devices, %d and %d revoked, %d classes gone; it says %+v", kind.name, devices, revoked, today, gone, []int{f.devices, f.revoked, f.today})
		}
		if got := float64(revoked) / float64(devices); math.Abs(got/kind.share-1) > 0.15 {
			t.Errorf("%s: a share of %v is revoked", kind.name, got)
		}
	}
}

func TestRevocation_BoundIsTheLogarithmOfAllSets(t *testing.T) {
	for _, tc := range []struct {
		devices, n int
		sets       float64
	}{{10, 3, 120}, {52, 5, 2_598_960}, {7, 0, 1}} {
		if got, want := bound(tc.devices, tc.n), math.Log2(tc.sets)/8; math.Abs(got-want) > 1e-9 {
			t.Errorf("%d of %d: %v bytes, want %v", tc.n, tc.devices, got, want)
		}
	}
}
