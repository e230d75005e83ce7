package cli

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/internal/store"
	"github.com/lares-drm/lares/license/ident"
)

func previousFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "previous", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// wasServedBefore puts the database of the version before in the place of the shop's.
func (s *shopTest) wasServedBefore() {
	s.t.Helper()
	path := s.path("shop", issuerDatabase)
	for _, end := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + end); err != nil && !os.IsNotExist(err) {
			s.t.Fatal(err)
		}
	}
	s.sql(string(previousFile(s.t, "issuer.sql")))
	s.ok(os.WriteFile(s.path("shop", issuerClaimKey), previousFile(s.t, "claim.key"), 0o600))
}

func (s *shopTest) sql(text string) {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+s.path("shop", issuerDatabase))
	s.ok(err)
	_, err = db.ExecContext(s.t.Context(), text)
	s.ok(err)
	s.ok(db.Close())
}

// A shop takes the place of one of the version before, on its database; what the
// clients of that version said is still understood, by the shop and by a house; and
// the database goes back to the version before.
func TestPrevious_ClientsAreUnderstood(t *testing.T) {
	s := newShopTest(t)
	s.ok(s.stop("shop"))
	s.wasServedBefore()
	s.do("issuer", "db", "accept-setback", "--lose", "--dir", s.path("shop")) // another module served from it
	s.ok(s.again("shop"))
	if out := s.do("issuer", "db", "check", "--dir", s.path("shop")); !strings.Contains(out, "is whole") {
		t.Error(out)
	}
	home := s.path("house")
	s.do("home", "init", "--dir", home, "--ca", s.ca, "--voucher", s.voucher("--role", "home server"))
	house, err := s.serve("house", "home", "serve", "--dir", home, "--listen", "127.0.0.1:0", "--ca", s.ca, "--announce=false")
	s.ok(err)
	var view houseView
	s.ok(s.query(t.Context(), &view, "home", "show", "--dir", home, "--issuer", string(s.about.Issuer)))
	servers := map[string]server{"shop": {s.url, lrp.Addr(s.about.Device)}, "home": {house, lrp.Addr(view.Module.Device)}}
	var all []said
	s.ok(json.Unmarshal(previousFile(t, "said.json"), &all))
	for _, x := range all {
		if err := servers[x.To].understands(t.Context(), x); err != nil {
			t.Errorf("%s %s %s: %v", x.To, x.Method, x.Path, err)
		}
	}
	if len(all) < 20 {
		t.Errorf("%d requests", len(all))
	}
	s.do("issuer", "content", "add", "--dir", s.path("shop"), "--keys", s.path("keys.lkd")) // its module has them, that database did not
	s.grant("PLAY; PLAY_COUNT=2; INTERVAL=48h; MIN_ANCHOR=0")
	if got, err := s.fetch(ident.NewRequest(), &lrphttp.Client{URL: s.url}); kinds(got) != "installed, closed" {
		t.Errorf("a license from the shop that came up: %s, %v", kinds(got), err)
	}
	s.goesBack()
}

// goesBack brings the shop's database to the version before, and one of a newer
// version is refused.
func (s *shopTest) goesBack() {
	s.t.Helper()
	at := []string{"--dir", s.path("shop")}
	migrate := func(args ...string) answer {
		s.t.Helper()
		a, err := s.run(s.t.Context(), append(append([]string{"issuer", "db", "migrate"}, at...), args...)...)
		s.ok(err)
		return a
	}
	if a := migrate("--down"); a.code != statusLater || !strings.Contains(a.stderr, "stop it first") {
		s.t.Errorf("while it serves: status %d, %s", a.code, a.stderr)
	}
	s.ok(s.stop("shop"))
	s.sql("INSERT INTO license_end (domain_id, license_id, how, at) SELECT domain_id, license_id, 'revoked', 1 FROM license LIMIT 1")
	if a := migrate("--to", "6"); a.code != statusRefused || !strings.Contains(a.stderr, "schema 6 has no place for licenses that ended before their terms: nothing was changed") {
		s.t.Errorf("what would be gone: status %d, %s%s", a.code, a.stdout, a.stderr)
	}
	if a := migrate("--to", "6", "--lose"); a.code != statusDone || !strings.Contains(a.stdout, "The database has schema 6; it had ") {
		s.t.Errorf("down: status %d, %s%s", a.code, a.stdout, a.stderr)
	}
	if a := migrate(); a.code != statusDone || !strings.Contains(a.stdout, "it had 6") {
		s.t.Errorf("up: status %d, %s%s", a.code, a.stdout, a.stderr)
	}
	for _, args := range [][]string{{"--to", "0"}, {"--to", "6", "--down"}} {
		if a := migrate(args...); a.code != statusUsage {
			s.t.Errorf("%v: status %d, %s", args, a.code, a.stderr)
		}
	}
	got, err := store.CheckSQLite(s.t.Context(), s.path("shop", issuerDatabase))
	if err != nil || len(got.Findings) > 0 {
		s.t.Errorf("after it: %+v, %v", got, err)
	}
	s.sql("INSERT INTO schema_version (version) VALUES (999)")
	a, err := s.run(s.t.Context(), append([]string{"issuer", "serve", "--listen", "127.0.0.1:0"}, at...)...)
	s.ok(err)
	if a.code != statusError || !strings.Contains(a.stderr, "schema 999") || !strings.Contains(a.stderr, "use the newer program") {
		s.t.Errorf("a newer program's database: status %d, %s", a.code, a.stderr)
	}
}

// namesAnID is what the server of then gave a name to: a device, a pairing.
var namesAnID = regexp.MustCompile(`[0-9a-f]{32}`)

// server is one of this version.
type server struct {
	url  string
	addr lrp.Addr
}

// understands sends what a client of the version before said, with today's time and
// this server's address, and looks for the answer that the client waits for.
func (s server) understands(ctx context.Context, x said) error {
	f, notFrame := lrp.Parse(x.Body)
	body := x.Body
	if notFrame == nil {
		f.Expires = time.Now().Add(time.Minute).UnixMilli()
		if f.Dst != (lrp.Addr{}) { // said to this server, and not to whoever is there
			f.Dst = s.addr
		}
		var err error
		if body, err = f.Encode(); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, x.Method, s.url+x.Path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", x.Type)
	req.Header.Set("Accept", x.Accept)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	got, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return err
	case (res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusForbidden) && namesAnID.MatchString(x.Path):
		return nil // what the other house had, or whom it knew
	case res.StatusCode != x.Status || res.Header.Get("Content-Type") != x.Kind:
		return fmt.Errorf("status %d, %s; it was %d, %s", res.StatusCode, res.Header.Get("Content-Type"), x.Status, x.Kind)
	case notFrame == nil:
		return sameFrames(f, got, x.Answer)
	case strings.HasSuffix(x.Path, "/redeem"): // the house of then, which has redeemed it
		if diff := cmp.Diff(string(got), string(x.Answer)); diff != "" {
			return fmt.Errorf("the code gives something else: %s", diff)
		}
	case strings.HasSuffix(x.Kind, "json"):
		return sameMembers(got, x.Answer)
	}
	return nil
}

// sameFrames wants answers of the types that they were of then. Who the server does
// not know is told so.
func sameFrames(f lrp.Frame, got, then []byte) error {
	now, err := lrp.ParseSequence(got, lrp.MaxFrames)
	if err != nil {
		return err
	}
	was, err := lrp.ParseSequence(then, lrp.MaxFrames)
	if err != nil {
		return err
	}
	types := func(all []lrp.Frame) (out []string) {
		for _, f := range all {
			word := fmt.Sprint(f.Type)
			if e, err := lrp.ParseError(f.Body); f.Type == lrp.TypeError && err == nil {
				word = fmt.Sprint(e.Code)
			}
			out = append(out, word)
		}
		return out
	}
	a, b := types(now), types(was)
	if f.Seq > 0 { // it says what only the server of then knows: a session, a link's name
		for _, word := range a {
			switch word {
			case fmt.Sprint(lrp.CodeMalformed), fmt.Sprint(lrp.CodeVersion), fmt.Sprint(lrp.CodeUnsupported):
				return fmt.Errorf("answered %v; it was %v", a, b)
			}
		}
		return nil
	}
	if diff := cmp.Diff(a, b); diff != "" {
		return fmt.Errorf("answered %v; it was %v", a, b)
	}
	return nil
}

// sameMembers wants that each member of an object is still there, of the same kind.
func sameMembers(got, then []byte) error {
	var a, b map[string]any
	if err := json.Unmarshal(got, &a); err != nil {
		return err
	}
	if err := json.Unmarshal(then, &b); err != nil {
		return err
	}
	for name, v := range b {
		if fmt.Sprintf("%T", a[name]) != fmt.Sprintf("%T", v) {
			return fmt.Errorf("%s is %T; it was %T", name, a[name], v)
		}
	}
	return nil
}
