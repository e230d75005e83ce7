package store

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

// walFrames reads a log of SQLite: how many pages were written to it, and how many
// commits. Source: SQLite, database file format, section 4.1.
func walFrames(t *testing.T, path string) (pages, commits int) {
	t.Helper()
	log, err := os.ReadFile(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	size := 24 + int(binary.BigEndian.Uint32(log[8:]))
	for at := 32; at+size <= len(log) && string(log[at+8:at+16]) == string(log[16:24]); at += size {
		pages++
		if binary.BigEndian.Uint32(log[at+4:]) != 0 {
			commits++
		}
	}
	return pages, commits
}

// writerOf is a writer without its goroutine, of n households with a grant of two licenses each.
func writerOf(t *testing.T, path string, n int) *writer {
	t.Helper()
	e, err := openSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.close() }) //nolint:errcheck // a test's; it has no lock
	for i := range n {
		err := e.update(t.Context(), func(ctx context.Context, c conn) error {
			_, err := (&tx{conn: c}).PutGrant(ctx, issuer.Grant{ID: issuer.GrantID{1}, Domain: ident.Domain{byte(i)}, Content: "c", Kind: issuer.Rental, Remaining: 2, Version: 1})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	db, err := connect("file:" + path + "?_pragma=wal_autocheckpoint(0)&_pragma=synchronous(FULL)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.close() }) //nolint:errcheck // a test's
	return &writer{db: db}
}

// waiting is the group that a writer finds when so many wait: from the first job on.
func (w *writer) waiting(jobs []*job) *[]*job {
	queue := make(chan *job, len(jobs))
	for _, j := range jobs[1:] {
		queue <- j
	}
	w.jobs = queue
	return &[]*job{jobs[0]}
}

// issueJob is a household's license of a number, but for what edit makes of it.
func issueJob(domain ident.Domain, seq uint64, edit func(*issuer.Issue)) *job {
	id := ident.NewLicense()
	tid := ident.Transfer{Dst: ident.Device(domain), Seq: seq}
	is := &issuer.Issue{
		Claim: issuer.Claim{Domain: domain, Request: ident.Request(id), License: id, Transfer: tid}, Grant: issuer.GrantKey{Domain: domain, Grant: issuer.GrantID{1}}, Version: 1,
		License:  issuer.License{Domain: domain, ID: id, Grant: issuer.GrantID{1}, Request: ident.Request(id), State: issuer.Issued, Version: 1},
		Transfer: issuer.Transfer{Domain: domain, ID: tid, License: id, State: issuer.Escrow, Sealed: make([]byte, 850)},
	}
	edit(is)
	j := newJob(func(ctx context.Context, c conn) error { return issueOrUndo(ctx, c, is) })
	j.bare = true
	return j
}

// After Apart each of those who wait has a commit, and so a flush, of his own.
func TestSQLite_Spec1_ApartIsACommitEach(t *testing.T) {
	path := filepath.Join(t.TempDir(), "issuer.db")
	w := writerOf(t, path, 3)
	e := &sqliteEngine{w: w}
	newStore(e).Apart()
	jobs := []*job{}
	for i := range 3 {
		jobs = append(jobs, issueJob(ident.Domain{byte(i)}, 1, func(*issuer.Issue) {}))
	}
	_, from := walFrames(t, path)
	for len(jobs) > 0 {
		group := w.waiting(jobs)
		if err := w.group(group); err != nil || len(*group) != 1 || jobs[0].err != nil {
			t.Fatalf("%d jobs, %v, %v", len(*group), err, jobs[0].err)
		}
		jobs = jobs[1:]
	}
	if _, commits := walFrames(t, path); commits != from+3 {
		t.Errorf("%d commits for three jobs", commits-from)
	}
}

// What 64 callers wait for is one commit, and so one flush, whoever of them fails at
// which statement; who fails leaves nothing, and has no savepoint for that.
func TestSQLite_Spec1_AGroupIsOneCommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "issuer.db")
	w := writerOf(t, path, maxGroup)
	as := func(*issuer.Issue) {}
	fails := map[int]func(*issuer.Issue){
		9:  func(is *issuer.Issue) { is.Version = 2 },
		20: func(is *issuer.Issue) { is.License.State = "lost" }, // breaks a CHECK
		30: func(is *issuer.Issue) { is.Transfer.State = "lost" },
		40: func(is *issuer.Issue) { is.Transfer.ID.Seq = 3 },
	}
	for i := range fails { // whoever has a number has another one next
		if j := issueJob(ident.Domain{byte(i)}, 1, as); w.group(w.waiting([]*job{j})) != nil || j.err != nil {
			t.Fatal(j.err)
		}
	}
	before := counts(t, w)
	jobs := []*job{}
	for i := range maxGroup {
		if edit := fails[i]; edit != nil {
			jobs = append(jobs, issueJob(ident.Domain{byte(i)}, 2, edit))
		} else {
			jobs = append(jobs, issueJob(ident.Domain{byte(i)}, 1, as))
		}
	}
	_, from := walFrames(t, path)
	group := w.waiting(jobs)
	if err := w.group(group); err != nil || len(*group) != maxGroup {
		t.Fatalf("%d jobs, %v", len(*group), err)
	}
	_, commits := walFrames(t, path)
	if commits != from+1 {
		t.Errorf("%d commits for one group", commits-from)
	}
	for i, j := range jobs {
		if (j.err != nil) != (fails[i] != nil) {
			t.Errorf("household %d: %v", i, j.err)
		}
	}
	done := int64(maxGroup - len(fails))
	want := map[string]int64{}
	for what, n := range before {
		want[what] = n + done
	}
	want["left"] = before["left"] - done
	if d := cmp.Diff(want, counts(t, w)); d != "" {
		t.Error(d)
	}
	for q := range w.db.ready {
		if strings.HasPrefix(q, "SAVEPOINT") {
			t.Errorf("%s was run", q)
		}
	}
}

// counts are the rows of the tables that a license is in, and the sums of what
// remains and of the numbers.
func counts(t *testing.T, w *writer) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	for what, sql := range map[string]string{
		"left": "SELECT SUM(remaining) FROM license_grant", "numbers": "SELECT SUM(seq) FROM peer_seq",
		"licenses": "SELECT COUNT(*) FROM license", "transfers": "SELECT COUNT(*) FROM transfer", "requests": "SELECT COUNT(*) FROM idem",
	} {
		var n int64
		if err := w.db.query(t.Context(), func(scan func(...any) error) error { return scan(&n) }, sql); err != nil {
			t.Fatal(err)
		}
		out[what] = n
	}
	return out
}
