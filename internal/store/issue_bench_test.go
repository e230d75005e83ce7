package store_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/store"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem/trembench"
	"github.com/lares-drm/lares/service/issuer"
)

// BenchmarkIssue is what one license that counts costs a database, from the look
// before it to its commit, and nothing else of an issuer: CPU time of this process and
// of PostgreSQL's. Compare runs of one hour: go test -bench Issue ./internal/store.
func BenchmarkIssue(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("sqlite/%d", callers), func(b *testing.B) {
			s, err := store.OpenSQLite(b.Context(), filepath.Join(b.TempDir(), "issuer.db"))
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { s.Close() })
			issueBench(b, s, callers)
		})
		b.Run(fmt.Sprintf("postgres/%d", callers), func(b *testing.B) {
			c := newCluster(b)
			s := c.open(b)
			pid, err := c.PID()
			if err != nil {
				b.Fatal(err)
			}
			issueBench(b, s, callers, pid)
		})
	}
}

// issueBench has callers issue b.N licenses, each to households of his own.
func issueBench(b *testing.B, s *store.Store, callers int, database ...int) {
	b.Helper()
	homes := households(b, s, 192)
	var done atomic.Int64
	issue := func(n int) {
		var wg sync.WaitGroup
		done.Store(0)
		for c := range callers {
			wg.Go(func() {
				for i := c; done.Add(1) <= int64(n); i += callers {
					is := nextIssue(homes[i%len(homes)], 0)
					is.Transfer.Sealed = make([]byte, 850)
					ahead, err := s.Ahead(b.Context(), issuer.Asked{Domain: is.Grant.Domain, Request: is.Claim.Request, Content: "c", Peer: is.Transfer.ID.Dst})
					if err != nil {
						b.Error(err)
						return
					}
					is.Transfer.ID = ident.Transfer{Dst: is.Transfer.ID.Dst, Seq: ahead.Last + 1}
					is.Claim.Transfer = is.Transfer.ID
					if ok, err := s.Issue(b.Context(), is); !ok || err != nil {
						b.Error(ok, err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
	issue(len(homes)) // what is prepared once is
	own, other := cpu(b, os.Getpid()), cpu(b, database...)
	b.ResetTimer()
	issue(b.N)
	b.StopTimer()
	b.ReportMetric(float64(cpu(b, os.Getpid())-own)/1e3/float64(b.N), "cpu-µs/op")
	if len(database) > 0 {
		b.ReportMetric(float64(cpu(b, database...)-other)/1e3/float64(b.N), "db-µs/op")
	}
}

// cpu is the CPU time so far of processes and of those that they have started.
func cpu(b *testing.B, pids ...int) (sum time.Duration) {
	b.Helper()
	for _, pid := range pids {
		own, err := trembench.CPUOf(pid)
		if err != nil {
			b.Fatal(err)
		}
		sum += own
		lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
		if err != nil {
			b.Fatal(err)
		}
		for _, list := range lists {
			data, _ := os.ReadFile(list) // that thread may have ended
			for f := range strings.FieldsSeq(string(data)) {
				if child, err := strconv.Atoi(f); err == nil {
					used, _ := trembench.CPUOf(child) // as above
					sum += used
				}
			}
		}
	}
	return sum
}
