package revocation

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/lares-drm/lares/security/pki"
)

// population is a state of classes of log-normal sizes, of which a share r was
// revoked at random.
func population(t *testing.T, h *house, devices float64, classes int, r float64) (*State, int) {
	rnd := rand.New(rand.NewPCG(7, 7)) //nolint:gosec // reproducible
	weight, sum := make([]float64, classes), 0.0
	for i := range weight {
		weight[i] = math.Exp(1.5 * rnd.NormFloat64())
		sum += weight[i]
	}
	b, total := NewBuilder(nil), 0
	must(t, b.Allot(0, 1))
	for i := range weight {
		n := int(weight[i] / sum * devices)
		total += n
		class := pki.Class(0x1001 + i)
		must(t, b.Allot(class, uint32(n+1)))
		byPage, order := map[int][]run{}, []int(nil)
		for at := -1; ; {
			if at += 1 + int(math.Log(1-rnd.Float64())/math.Log(1-r)); at >= n {
				break
			}
			no := at / PageSize
			if len(order) == 0 || order[len(order)-1] != no {
				order = append(order, no)
			}
			byPage[no] = append(byPage[no], run{uint16(at % PageSize), uint16(at % PageSize)})
		}
		b.next.row(class).turn(order, byPage)
	}
	return h.sign(t, b, 1), total
}

// TestPKI_2_SnapshotIsNearTheBound holds the layout against the targets of
// docs/spec/revocation.md: beside the registry, within 2 % of the information
// bound; with it, within 10 % and 3 bytes a class.
func TestPKI_2_SnapshotIsNearTheBound(t *testing.T) {
	h := newHouse(t)
	for _, r := range []float64{0.001, 0.01} {
		const classes = 200
		s, devices := population(t, h, 20e6, classes, r)
		size, revoked := len(s.Snapshot()), 0
		bare := &State{}
		for _, l := range s.Leaves() {
			revoked += int(l.Revoked)
			bare.rows = append(bare.rows, row{Leaf: l})
		}
		p := float64(revoked) / float64(devices)
		bound := float64(devices) * (-p*math.Log2(p) - (1-p)*math.Log2(1-p)) / 8
		registry := len(bare.Snapshot())
		over := 100 * (float64(size-registry)/bound - 1)
		t.Logf("r = %v: %d bytes, %d of them registry, bound %.0f: %.2f %% over", r, size, registry, bound, over)
		if over > 2 || float64(size) > 1.1*bound+3*classes {
			t.Errorf("r = %v: %d bytes, %.2f %% over the bound of %.0f", r, size, over, bound)
		}
	}
}
