package httpd

import (
	"bytes"
	"context"
	"encoding/json"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"rsc.io/qr"

	"github.com/lares-drm/lares/license/ident"
)

// box is an agent that notes its orders.
type box struct {
	view AgentView
	got  []AgentOrder
	err  error
}

func (b *box) See(context.Context) AgentView { return b.view }

func (b *box) Order(_ context.Context, o AgentOrder) (string, error) {
	b.got = append(b.got, o)
	return "done", b.err
}

func agentOf(t *testing.T, b *box) http.Handler {
	t.Helper()
	h, err := NewAgent(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func answered(h http.Handler, method, path, body string, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), method, "http://127.0.0.1:7730"+path, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:50000"
	if method == http.MethodPost {
		r.Header.Set("Content-Type", map[bool]string{true: "application/json", false: "application/x-www-form-urlencoded"}[strings.HasPrefix(path, "/api")])
	}
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestAgentPage_OnlyItsOwnPageOnThisMachine: a stranger in the network, a page of
// another site, and a foreign name for this machine get and do nothing.
func TestAgentPage_OnlyItsOwnPageOnThisMachine(t *testing.T) {
	b := &box{view: AgentView{Name: "TV", Home: "http://house", Titles: []AgentTitle{{Content: "film", Title: "Metropolis"}}}}
	h := agentOf(t, b)
	for name, change := range map[string]func(*http.Request){
		"stranger": func(r *http.Request) { r.RemoteAddr = "192.168.1.9:4000" },
		"other site": func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			r.Header.Set("Origin", "http://evil.example")
		},
		"foreign name": func(r *http.Request) { r.Host = "evil.example" },
	} {
		for _, path := range []string{"/", "/api/v1/orders"} {
			w := answered(h, http.MethodPost, path, `{"do":"stop"}`, change)
			if w.Code != http.StatusForbidden || len(b.got) != 0 {
				t.Errorf("%s, POST %s: %d, %v", name, path, w.Code, b.got)
			}
		}
		if name == "other site" {
			continue // it cannot read the answer
		}
		if w := answered(h, http.MethodGet, "/", "", change); w.Code != http.StatusForbidden || strings.Contains(w.Body.String(), "Metropolis") {
			t.Errorf("%s, GET: %d %s", name, w.Code, w.Body)
		}
	}
}

// TestAgentPage_OrdersByFormAndByProgram sends each order both ways.
func TestAgentPage_OrdersByFormAndByProgram(t *testing.T) {
	for _, o := range []AgentOrder{
		{Do: OrderPair, Home: "http://house:7710"},
		{Do: OrderPlay, Content: "film", Yes: true},
		{Do: OrderStop},
		{Do: OrderGet, Content: "film"},
		{Do: OrderMove, Content: "film", To: "phone"},
		{Do: OrderLend, Content: "film", To: "house", For: "6h"},
		{Do: OrderReturn, Content: "film"},
	} {
		b := &box{}
		form := url.Values{"do": {o.Do}, "content": {string(o.Content)}, "to": {o.To}, "for": {o.For}, "home": {o.Home}}
		if o.Yes {
			form.Set("yes", "1")
		}
		if w := answered(agentOf(t, b), http.MethodPost, "/", form.Encode(), nil); w.Code != http.StatusSeeOther || len(b.got) != 1 || b.got[0] != o {
			t.Errorf("form of %+v: %d %v", o, w.Code, b.got)
		}
	}
	for body, want := range map[string]int{
		`{"do":"play","content":"film"}`: http.StatusOK, `{"do":"play"}`: 400, `{"do":"dance"}`: 400, `{"do":"move","content":"film"}`: 400, `{"do":"pair"}`: 400,
		`{"do":"stop","x":1}`: 400, `{"do":"stop"} {}`: 400, `[`: 400, `{"do":"` + strings.Repeat("x", maxOrder) + `"}`: 400,
	} {
		if w := answered(agentOf(t, &box{}), http.MethodPost, "/api/v1/orders", body, nil); w.Code != want {
			t.Errorf("%.60s: %d %s, want %d", body, w.Code, w.Body, want)
		}
	}
	refusing := &box{err: &OrderError{http.StatusForbidden, "refused", "Not now."}}
	if w := answered(agentOf(t, refusing), http.MethodPost, "/api/v1/orders", `{"do":"stop"}`, nil); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "Not now.") {
		t.Errorf("a refusal: %d %s", w.Code, w.Body)
	}
	if w := answered(agentOf(t, refusing), http.MethodPost, "/", "do=stop", nil); w.Code != http.StatusSeeOther {
		t.Errorf("the page of a refusal: %d", w.Code)
	}
}

// TestAgentPage_Words reads every state of the page, with its names escaped and
// without the standard's terms.
func TestAgentPage_Words(t *testing.T) {
	for want, v := range map[string]AgentView{
		"Join a house":          {Name: "TV"},
		"7KQ2-M4XD":             {Name: "TV", Code: "7KQ2-M4XD", Busy: "Waiting"},
		"Playing now":           {Name: "TV", Home: "http://h", Playing: "<b>Film"},
		"Yes, start it":         {Name: "TV", Home: "http://h", Ask: "film", Said: "48 hours begin"},
		"Nothing yet.":          {Name: "TV", Home: "http://h"},
		"Your copy, no limit":   {Name: "<i>TV", Home: "http://h", Titles: []AgentTitle{{Content: ident.Content("film"), Title: "<script>", Kind: "Your copy", Left: "no limit"}}},
		`http-equiv="refresh"`:  {Name: "TV", Busy: "Asking"},
		`aria-label="Play Film`: {Name: "TV", Home: "http://h", Titles: []AgentTitle{{Content: "film", Title: "Film", Kind: "Rental", Left: "1 play left"}}},
	} {
		w := answered(agentOf(t, &box{view: v}), http.MethodGet, "/", "", nil)
		text := w.Body.String()
		if w.Code != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("%d, no %q: %s", w.Code, want, text)
		}
		for _, bad := range []string{"<script>", "<b>", "<i>", "TREM", "icense", "grant", "domain", "allowance", " style="} {
			if strings.Contains(strings.ReplaceAll(text, "</script>", ""), bad) {
				t.Errorf("the page says %q", bad)
			}
		}
		if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("policy %s", csp)
		}
	}
}

// TestAgentPage_QROfTheYes: while the code waits, a camera reads the address of the page of
// the house that shows the same code; the modules are those that rsc.io/qr makes of it. A
// house that a phone does not reach by its address is asked by the code alone.
func TestAgentPage_QROfTheYes(t *testing.T) {
	const code = "7KQ2-M4XD"
	for asked, want := range map[string]string{
		"http://192.168.7.9:7710": "https://192.168.7.9:7710/devices", "https://home.local:7710": "https://home.local:7710/devices",
		"http://127.0.0.1:7710": "", "http://house.example:7710": "", "http://[::1]:7710": "", "nonsense": "", "": "",
	} {
		b := &box{view: AgentView{Name: "TV", Code: code, Asked: asked}}
		page := answered(agentOf(t, b), http.MethodGet, "/", "", nil).Body.String()
		w := answered(agentOf(t, b), http.MethodGet, "/yes.png", "", nil)
		if strings.Contains(page, `src="/yes.png"`) != (want != "") || !strings.Contains(page, code) {
			t.Errorf("%s: the page says %s", asked, page)
		}
		if want == "" {
			if w.Code != http.StatusNotFound {
				t.Errorf("%s: a picture, %d", asked, w.Code)
			}
			continue
		}
		compareQR(t, w.Body, want)
		b.view.Code = ""
		if w := answered(agentOf(t, b), http.MethodGet, "/yes.png", "", nil); w.Code != http.StatusNotFound {
			t.Errorf("%s: a picture without a code, %d", asked, w.Code)
		}
	}
}

// compareQR compares each module of a picture with the library's code of a text.
func compareQR(t *testing.T, picture io.Reader, want string) {
	t.Helper()
	img, err := png.Decode(picture)
	if err != nil {
		t.Fatal(err)
	}
	c, err := qr.Encode(want, qr.M)
	if err != nil {
		t.Fatal(err)
	}
	const quiet = 4 // modules around it, ISO/IEC 18004
	scale := img.Bounds().Dx() / (c.Size + 2*quiet)
	for y := range c.Size {
		for x := range c.Size {
			r, _, _, _ := img.At((x+quiet)*scale+scale/2, (y+quiet)*scale+scale/2).RGBA()
			if (r == 0) != c.Black(x, y) {
				t.Fatalf("module %d, %d is not that of %s", x, y, want)
			}
		}
	}
}

// TestAgentPage_HousesOfTheNetwork: what was found is asked with one button.
func TestAgentPage_HousesOfTheNetwork(t *testing.T) {
	b := &box{view: AgentView{Name: "TV", Found: []string{"http://192.168.7.9:7710"}}}
	page := answered(agentOf(t, b), http.MethodGet, "/", "", nil).Body.String()
	if !strings.Contains(page, `<input type="hidden" name="home" value="http://192.168.7.9:7710">`) {
		t.Errorf("no button: %s", page)
	}
}

// TestAgentPage_SpecExamples reads the examples of the page docs/spec/device-api.md.
func TestAgentPage_SpecExamples(t *testing.T) {
	page, err := os.ReadFile("../../docs/spec/device-api.md")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(page), "```json\n")
	if len(parts) != 3 {
		t.Fatalf("%d examples", len(parts)-1)
	}
	order, _, _ := strings.Cut(parts[1], "```")
	if o, err := parseOrder(strings.NewReader(order)); err != nil || o != (AgentOrder{Do: OrderLend, Content: "lares-film", To: "phone", For: "14d"}) {
		t.Errorf("%+v, %v", o, err)
	}
	text, _, _ := strings.Cut(parts[2], "```")
	var v AgentView
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil || v.Titles[0].Title != "Metropolis" || v.SeenAt.IsZero() {
		t.Errorf("%+v, %v", v, err)
	}
	again, err := json.Marshal(v)
	if err != nil || strings.Join(strings.Fields(string(again)), "") != strings.Join(strings.Fields(text), "") {
		t.Errorf("%s, the page has %s", again, text)
	}
	for _, do := range []string{OrderPair, OrderGet, OrderPlay, OrderStop, OrderMove, OrderCopy, OrderLend, OrderReturn, OrderFetch} {
		if !strings.Contains(string(page), "`"+do+"`") {
			t.Errorf("the page lacks %s", do)
		}
	}
}

// FuzzAgentOrder: an order that is read has known keys only and is one value.
func FuzzAgentOrder(f *testing.F) {
	f.Add([]byte(`{"do":"move","content":"film","to":"phone"}`))
	f.Add([]byte(`{"do":"stop"} x`))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := parseOrder(bytes.NewReader(data))
		if err != nil {
			return
		}
		again, err := json.Marshal(o)
		if err != nil {
			return // an ID that is none, which do refuses or the command does
		}
		if back, err := parseOrder(bytes.NewReader(again)); err != nil && len(again) <= maxOrder || err == nil && back != o {
			t.Errorf("%q is read as %+v, and its %q as %+v: %v", data, o, again, back, err)
		}
	})
}
