package trem_test

import (
	"testing"
	"time"

	"github.com/lares-drm/lares/security/trem"
)

// TestPatience_LooksAfterAShortWait: the first read looks, one after a long wait
// sleeps, one after a short wait looks again, and the rest of a message is not
// waited for.
func TestPatience_LooksAfterAShortWait(t *testing.T) {
	var p trem.Patience
	for i, step := range []struct {
		waited time.Duration
		looks  bool
	}{{0, true}, {time.Second, false}, {101 * time.Microsecond, false}, {100 * time.Microsecond, true}, {0, true}} {
		if i > 0 {
			p.Waited(step.waited)
			p.Waited(0) // the rest of the message
			if p.Looks() > 0 {
				t.Error("a read looks for what is there")
			}
			p.Wrote()
		}
		if got := p.Looks() > 0; got != step.looks {
			t.Errorf("after a wait of %v a read looks: %v, want %v", step.waited, got, step.looks)
		}
	}
}
