package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/internal/store"
	"github.com/lares-drm/lares/internal/store/storetest"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

// faults is the size of a run: LARES_FAULTS, which `make faults N=...` sets.
func faults(short int) int {
	if n, err := strconv.Atoi(os.Getenv("LARES_FAULTS")); err == nil && n > 0 {
		return max(n/10, short)
	}
	return short
}

// issueAt issues the next license of a device in one step, as an issuer does, and
// says what it was: again with the same key it is the same one.
func issueAt(s *store.Store, grant issuer.Grant, dev byte, id ident.License) func() error {
	return func() error {
		ctx, d, peer := context.Background(), grant.Domain, ident.Device{dev}
		for { // as an issuer does, whose second transaction comes to the answer of the first
			ahead, err := s.Ahead(ctx, issuer.Asked{Domain: d, Request: ident.Request(id), Content: grant.Content, Peer: peer})
			if err != nil || ahead.Claimed {
				return err
			}
			tid := ident.Transfer{Dst: peer, Seq: ahead.Last + 1}
			ok, err := s.Issue(ctx, issuer.Issue{
				Claim: issuer.Claim{Domain: d, Request: ident.Request(id), License: id, Transfer: tid}, Grant: issuer.GrantKey{Domain: d, Grant: grant.ID}, Version: 1,
				License:  issuer.License{Domain: d, ID: id, Device: peer, Grant: grant.ID, Request: ident.Request(id), State: issuer.Issued, Version: 1},
				Transfer: issuer.Transfer{Domain: d, ID: tid, License: id, State: issuer.Escrow, Sealed: []byte{1}},
			})
			if err != nil || ok {
				return err
			}
		}
	}
}

// sold puts a grant of childGrants licenses into a store.
func sold(t *testing.T, s *store.Store) issuer.Grant {
	t.Helper()
	g := issuer.Grant{ID: issuer.GrantID{1}, Domain: ident.Domain{1}, Content: "c", Kind: issuer.Rental, Remaining: childGrants, Version: 1}
	err := s.Update(t.Context(), func(ctx context.Context, tx issuer.Tx) error {
		_, err := tx.PutGrant(ctx, g)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// conserved checks that exactly these licenses are there, each once, and that the
// grant has the rest; more says how many others there may be.
func conserved(t *testing.T, s *store.Store, acked map[ident.License]bool, more int) {
	t.Helper()
	err := s.Update(t.Context(), func(ctx context.Context, tx issuer.Tx) error {
		all, err := tx.Licenses(ctx, ident.Domain{1})
		if err != nil {
			return err
		}
		have := map[ident.License]bool{}
		for _, l := range all {
			have[l.ID] = true
		}
		for id := range acked {
			if !have[id] {
				t.Errorf("license %v was acknowledged and is gone", id)
			}
		}
		g, err := tx.Grant(ctx, issuer.GrantKey{Domain: ident.Domain{1}, Grant: issuer.GrantID{1}})
		if len(all) < len(acked) || len(all) > len(acked)+more || g.Remaining+uint64(len(all)) != childGrants {
			t.Errorf("%d acknowledged, %d issued, %d remain of %d", len(acked), len(all), g.Remaining, childGrants)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A connection that is cut between COMMIT and its answer: nobody knows whether it
// happened, and the same transaction done again finds out.
func TestFault_Spec1_ConnectionsCutAtCommit(t *testing.T) {
	needs.Long(t)
	c := newCluster(t)
	c.open(t)
	n := storetest.NewNetwork(t, c.Dir)
	s, err := store.OpenPostgres(t.Context(), fmt.Sprintf("host=%s user=lares dbname=t%d", n.Dir, c.n))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	grant := sold(t, s)
	acked := map[ident.License]bool{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	rounds := faults(12)
	for dev := range byte(4) {
		wg.Go(func() {
			for i := range rounds {
				if i%3 == 0 {
					n.Cut(2)
				}
				id := ident.NewLicense()
				if err := issueAt(s, grant, dev, id)(); err != nil {
					t.Errorf("device %d: %v", dev, err)
					return
				}
				mu.Lock()
				acked[id] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if n.Cut(0); len(acked) != 4*rounds {
		t.Errorf("%d licenses of %d", len(acked), 4*rounds)
	}
	conserved(t, s, acked, 0)
}

// Who asks and goes away between two statements leaves no transaction open for the
// next one, of whom PostgreSQL would say that he broke the database.
func TestFault_Spec1_CallersThatGoAway(t *testing.T) {
	c := newCluster(t)
	c.open(t)
	s, err := store.OpenPostgres(t.Context(), fmt.Sprintf("host=%s user=lares dbname=t%d", c.Dir, c.n))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	grant := sold(t, s)
	for range 40 { // more than there are connections
		ctx, cancel := context.WithCancel(t.Context())
		err := s.View(ctx, func(ctx context.Context, r issuer.Reader) error {
			defer cancel()
			_, err := r.Grants(ctx, issuer.GrantKey{}, 1)
			return err
		})
		if err == nil || errors.Is(err, store.ErrBroken) {
			t.Fatalf("who went away: %v", err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		err = s.Update(ctx, func(ctx context.Context, tx issuer.Tx) error {
			defer cancel()
			_, err := tx.Grants(ctx, issuer.GrantKey{}, 1)
			return err
		})
		if err == nil || errors.Is(err, store.ErrBroken) {
			t.Fatalf("who went away while writing: %v", err)
		}
	}
	acked := map[ident.License]bool{}
	for i := range 20 {
		id := ident.NewLicense()
		if err := issueAt(s, grant, byte(i), id)(); err != nil {
			t.Fatalf("the next one: %v", err)
		}
		acked[id] = true
	}
	conserved(t, s, acked, 0)
}

// A database that does not answer: callers are told to come again, nothing breaks,
// and what they ask for again is there once.
func TestFault_Spec1_AFrozenDatabase(t *testing.T) {
	needs.Long(t)
	c := newCluster(t)
	c.open(t)
	n := storetest.NewNetwork(t, c.Dir)
	s, err := store.OpenPostgres(t.Context(), fmt.Sprintf("host=%s user=lares dbname=t%d", n.Dir, c.n))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	grant := sold(t, s)
	store.SetPatience(s, 150*time.Millisecond)
	acked := map[ident.License]bool{}
	for range faults(2) {
		n.Freeze(true)
		var wg sync.WaitGroup
		ids := make([]ident.License, 20) // more than there are connections
		for i := range ids {
			ids[i] = ident.NewLicense()
			wg.Go(func() {
				from := time.Now()
				if err := issueAt(s, grant, byte(i), ids[i])(); !errors.Is(err, issuer.ErrBusy) || errors.Is(err, store.ErrBroken) {
					t.Errorf("frozen: %v, want ErrBusy", err)
				}
				if took := time.Since(from); took > 30*time.Second {
					t.Errorf("it was told after %v", took)
				}
			})
		}
		wg.Wait()
		n.Freeze(false)
		store.SetPatience(s, time.Minute)
		for i, id := range ids {
			if err := issueAt(s, grant, byte(i), id)(); err != nil {
				t.Errorf("again: %v", err)
			}
			acked[id] = true
		}
		store.SetPatience(s, 150*time.Millisecond)
	}
	store.SetPatience(s, time.Minute)
	conserved(t, s, acked, 0)
	if s.Err() != nil {
		t.Errorf("the store broke: %v", s.Err())
	}
}

// A disk that fails while an issuer writes: nothing is acknowledged from the first
// error on, the process ends, and after a start everything acknowledged is there.
func TestFault_Spec1_ADiskThatFails(t *testing.T) {
	needs.Long(t)
	for name, calls := range map[string][]uint32{
		"fsync EIO":     {unix.SYS_FSYNC, unix.SYS_FDATASYNC},
		"write ENOSPC":  {unix.SYS_PWRITE64},
		"truncated EIO": {unix.SYS_FTRUNCATE, unix.SYS_FSYNC, unix.SYS_FDATASYNC},
	} {
		t.Run(name, func(t *testing.T) {
			for range faults(1) {
				path := filepath.Join(t.TempDir(), "issuer.db")
				cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFaultChild$")
				cmd.Env = append(os.Environ(), "LARES_FAULT_CHILD="+path, "LARES_FAULT_CALLS="+strings.Trim(fmt.Sprint(calls), "[]"))
				out, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				acked, broken := readAcks(t, out)
				if err := cmd.Wait(); err == nil || !broken {
					t.Errorf("the process ended with %v, and said it is broken: %v", err, broken)
				}
				conserved(t, open(t, path), acked, 64) // what the failed commit held may be there
			}
		})
	}
}

// readAcks reads what a child acknowledges, and whether it says that its store broke.
func readAcks(t *testing.T, out io.Reader) (acked map[ident.License]bool, broken bool) {
	t.Helper()
	acked = map[ident.License]bool{}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "ack":
			if broken {
				t.Error("acknowledged after the store broke")
			}
			var id ident.License
			if err := id.UnmarshalText([]byte(rest)); err != nil {
				t.Fatal(err)
			}
			acked[id] = true
		case "broken":
			broken = rest == "true"
		}
	}
	if len(acked) < 20 {
		t.Errorf("%d licenses were acknowledged before the disk failed", len(acked))
	}
	return acked, broken
}

// TestFaultChild is the process whose disk fails.
func TestFaultChild(t *testing.T) {
	path := os.Getenv("LARES_FAULT_CHILD")
	if path == "" {
		return // not a child
	}
	s := open(t, path)
	grant := sold(t, s)
	var mu sync.Mutex // what is printed is in the order in which it was known
	n, failing, broken := 0, false, false
	var wg sync.WaitGroup
	for dev := range byte(8) {
		wg.Go(func() {
			for {
				id, was := ident.NewLicense(), s.Err()
				err := issueAt(s, grant, dev, id)()
				mu.Lock()
				if err == nil && was != nil {
					fmt.Println("the store acknowledges after it broke")
					os.Exit(0)
				}
				if err == nil {
					fmt.Println("ack", id)
					if n++; n == 30 {
						failing = true
						if err := storetest.FailCalls(os.Getenv("LARES_FAULT_CALLS")); err != nil {
							t.Error(err)
						}
					}
				} else {
					broken = broken || errors.Is(err, store.ErrBroken) && failing
				}
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	fmt.Println("broken", broken) // last: who was acknowledged before may hear of it after others hear of the fault
	if s.Err() == nil {
		fmt.Println("the store goes on")
		os.Exit(0)
	}
	os.Exit(3) // as `lares issuer serve` does
}
