package cli

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/lares-drm/lares/interconnect/lrp"
)

// previousPrograms names a folder with the programs of the version before this one.
// With it the tests below write testdata/previous anew, whose README.md says how.
var previousPrograms = flag.String("previous", "", "folder with lares and lares-trem of the version before: record testdata/previous with them")

// said is one request that a client of the version before made, and what a server of
// the same version answered.
type said struct {
	To     string `json:"to"` // shop or home
	Method string `json:"method"`
	Path   string `json:"path"`
	Type   string `json:"type,omitempty"`   // media type of the body
	Accept string `json:"accept,omitempty"` // header
	Body   []byte `json:"body,omitempty"`
	Status int    `json:"status"`
	Kind   string `json:"kind,omitempty"` // media type of the answer
	Answer []byte `json:"answer,omitempty"`
}

// tapped is a server's address at which everything said to it is written down.
type tapped struct {
	mu  sync.Mutex
	all []said
}

func (r *tapped) before(t *testing.T, name, target string) string {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(to) },
		ModifyResponse: func(res *http.Response) error {
			if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
				return nil
			}
			answer, err := io.ReadAll(res.Body)
			res.Body = io.NopCloser(bytes.NewReader(answer))
			if err != nil || len(answer) > 16<<10 { // pictures, segments
				return err
			}
			req := res.Request
			body, _ := req.Context().Value(bodyKey{}).([]byte)
			r.mu.Lock()
			defer r.mu.Unlock()
			r.all = append(r.all, said{
				To: name, Method: req.Method, Path: req.URL.RequestURI(), Type: req.Header.Get("Content-Type"), Accept: req.Header.Get("Accept"), Body: body,
				Status: res.StatusCode, Kind: res.Header.Get("Content-Type"), Answer: answer,
			})
			return nil
		},
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(io.LimitReader(req.Body, 1<<20))
		if err != nil {
			return
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, req.WithContext(context.WithValue(req.Context(), bodyKey{}, body)))
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

type bodyKey struct{}

// versions are who runs which programs in a day of a shop and a house.
type versions struct{ shop, home, device string }

// dayWith is a day of a shop and a house; the programs of t's folder stay to be asked.
func dayWith(t *testing.T, v versions, tap *tapped) *demo {
	t.Helper()
	t.Setenv("LARES_TREM", "") // each takes the module beside itself
	h, err := newHouse(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	d := &demo{house: h, listen: "127.0.0.1:0"}
	t.Cleanup(func() {
		if err := h.close(); err != nil {
			t.Error(err)
		}
	})
	if err := d.day(t, v, tap); err != nil {
		t.Fatalf("%v\n%s", err, h.tail(20))
	}
	return d
}

// TestPrevious_Record has the programs of the version before live a day of a shop and
// a house, and keeps the shop's database and what its clients said. The same house
// then goes on with the programs of this version.
func TestPrevious_Record(t *testing.T) {
	if *previousPrograms == "" {
		return // there is what it makes
	}
	before := filepath.Join(*previousPrograms, "lares")
	tap := new(tapped)
	d := dayWith(t, versions{before, before, before}, tap)
	out, err := json.MarshalIndent(kindsOf(tap.all), "", " ")
	err = errors.Join(err, d.stop("home"), d.stop("shop"))
	text, err2 := dumpSQLite(t.Context(), d.path("shop", issuerDatabase))
	key, err3 := os.ReadFile(d.path("shop", issuerClaimKey))
	if err := errors.Join(err, err2, err3); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"issuer.sql": text, "said.json": out, "claim.key": bytes.TrimSpace(key)} {
		if err := os.WriteFile(filepath.Join("testdata", "previous", name), append(data, '\n'), 0o644); err != nil { //nolint:gosec // it is committed
			t.Fatal(err)
		}
	}
	d.program = program(t)
	err = errors.Join(d.again("shop"), d.again("home"), d.all(t.Context(),
		[]string{"issuer", "db", "check", "--dir", d.path("shop")},
		[]string{"device", "play", string(rented), "--dir", d.path("tablet"), "--tier", "SD", "--yes", "--out", d.path("out.mp4")},
		[]string{"home", "fetch", string(boughtCBCS), "--issuer", d.shopURL, "--dir", d.path("home")},
		[]string{"device", "get", string(boughtCBCS), "--dir", d.path("tablet")}))
	if err != nil {
		t.Errorf("the house with the programs of this version: %v\n%s", err, d.tail(20))
	}
}

// TestPrevious_Clients has a house of the version before buy at a shop of this one,
// and a device of the version before live in a house of this one.
func TestPrevious_Clients(t *testing.T) {
	if *previousPrograms == "" {
		return // their records are sent by TestPrevious_ClientsAreUnderstood
	}
	before, now := filepath.Join(*previousPrograms, "lares"), program(t)
	dayWith(t, versions{shop: now, home: before, device: before}, new(tapped))
	dayWith(t, versions{shop: now, home: now, device: before}, new(tapped))
}

// kindsOf keeps one request of each kind: what differs in IDs and numbers only is one.
func kindsOf(all []said) (out []said) {
	seen := map[string]bool{}
	for _, x := range all {
		kind := x.To + x.Method + regexp.MustCompile(`[0-9a-f]{16,}|=[0-9]+`).ReplaceAllString(x.Path, "*")
		if f, err := lrp.Parse(x.Body); err == nil {
			kind += fmt.Sprint(f.Type, f.Seq)
		}
		if !seen[kind] && !strings.Contains(x.Path, "/segments/") {
			out = append(out, x)
		}
		seen[kind] = true
	}
	return out
}

// day leaves a row in each table, and one of each kind of request.
func (d *demo) day(t *testing.T, v versions, tap *tapped) error {
	ctx := t.Context()
	d.program = v.shop
	for _, step := range []func(context.Context) error{d.makeCA, d.makeShop, d.packFilm, d.stockShop} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	d.program = v.home
	if err := d.makeHome(ctx); err != nil {
		return err
	}
	shop, home := tap.before(t, "shop", d.shopURL), tap.before(t, "home", d.homeURL)
	var view houseView
	if err := d.query(ctx, &view, "home", "show", "--dir", d.path("home"), "--issuer", string(d.shop.Issuer)); err != nil {
		return err
	}
	d.program = v.shop
	at := []string{"--dir", d.path("shop")}
	library := slices.Concat(at, []string{"--content", string(shared), "--domain"})
	err := d.all(ctx,
		append([]string{"issuer", "offer", "add", "gift", "--content", string(bought), "--kind", "gift", "--terms", "PLAY", "--name", "A gift"}, at...),
		append([]string{"issuer", "offer", "add", "night", "--content", string(rented), "--kind", "rental", "--terms", "PLAY; PLAY_COUNT=2; INTERVAL=48h; MIN_ANCHOR=0"}, at...),
		append([]string{"issuer", "offer", "add", "loan", "--content", string(shared), "--kind", "loan", "--terms", "PLAY"}, at...),
		append([]string{"issuer", "copies", "set", string(shared), "--copies", "1", "--offer", "loan"}, at...),
		append(slices.Concat([]string{"issuer", "copies", "lend"}, library), view.Domain.String()),
		append(slices.Concat([]string{"issuer", "holds", "add"}, library), strings.Repeat("0a", 16)),
		append([]string{"issuer", "grant", "--domain", view.Domain.String(), "--content", string(boughtCBCS), "--terms", "PLAY", "--kind", "purchase"}, at...),
		append([]string{"issuer", "key", "new", "desk", "--role", "support", "--out", d.path("desk.key")}, at...),
		append([]string{"issuer", "grant", "--domain", view.Domain.String(), "--offer", "night"}, at...),
	)
	if err != nil {
		return err
	}
	codes, err := d.must(ctx, append([]string{"issuer", "claim", "new", "--offer", "gift", "--count", "2", "--csv"}, at...)...)
	if err != nil {
		return err
	}
	rows, err := csv.NewReader(strings.NewReader(codes)).ReadAll()
	if err != nil {
		return err
	}
	d.program = v.home
	err = d.all(ctx,
		[]string{"home", "fetch", string(rented), "--dir", d.path("home"), "--issuer", shop},
		[]string{"home", "fetch", string(shared), "--dir", d.path("home"), "--issuer", shop},
		[]string{"home", "claim", rows[1][0], "--issuer", shop, "--dir", d.path("home")})
	if err != nil {
		return err
	}
	voucher, err := d.voucher(ctx, "--role", "device")
	if err != nil {
		return err
	}
	d.program = v.device
	if _, err := d.must(ctx, "device", "init", "--dir", d.path("tablet"), "--ca", d.caURL, "--voucher", voucher); err != nil {
		return err
	}
	if err := d.pairAt(ctx, "tablet", home); err != nil {
		return err
	}
	return d.all(ctx,
		[]string{"device", "get", string(bought), "--dir", d.path("tablet")},
		[]string{"device", "get", string(rented), "--plays", "1", "--dir", d.path("tablet")},
		[]string{"device", "transfers", "--dir", d.path("tablet")})
}

func (d *demo) all(ctx context.Context, commands ...[]string) error {
	for _, args := range commands {
		if _, err := d.must(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// dumpSQLite is a database as text: its tables as they were made, and their rows.
func dumpSQLite(ctx context.Context, path string) ([]byte, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		return nil, err
	}
	defer db.Close() //nolint:errcheck // it was read only
	var out bytes.Buffer
	var names []string
	made, err := db.QueryContext(ctx, "SELECT name, type, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type DESC, name")
	if err != nil {
		return nil, err
	}
	defer made.Close() //nolint:errcheck // it was read only
	for made.Next() {
		var name, typ, text string
		if err := made.Scan(&name, &typ, &text); err != nil {
			return nil, err
		}
		if typ == "table" {
			names = append(names, name)
		}
		fmt.Fprintf(&out, "%s;\n", text)
	}
	if err := made.Err(); err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := dumpTable(ctx, db, &out, name); err != nil {
			return nil, err
		}
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

func dumpTable(ctx context.Context, db *sql.DB, out *bytes.Buffer, name string) error {
	rows, err := db.QueryContext(ctx, "SELECT * FROM "+name)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // it was read only
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	for rows.Next() {
		row, to := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			to[i] = &row[i]
		}
		if err := rows.Scan(to...); err != nil {
			return err
		}
		var words []string
		for _, v := range row {
			switch v := v.(type) {
			case []byte:
				words = append(words, fmt.Sprintf("X'%x'", v))
			case string:
				words = append(words, "'"+strings.ReplaceAll(v, "'", "''")+"'")
			default:
				words = append(words, fmt.Sprint(v))
			}
		}
		fmt.Fprintf(out, "INSERT INTO %s (%s) VALUES (%s);\n", name, strings.Join(columns, ", "), strings.Join(words, ", "))
	}
	return rows.Err()
}
