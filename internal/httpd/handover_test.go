package httpd_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

// stages are all the ways in which a transfer can wait.
func stages() []trem.Transfer {
	until := time.Date(2026, 12, 24, 18, 0, 0, 0, time.Local).UnixMilli() //nolint:gosmopolitan // as people read it
	return []trem.Transfer{
		{Op: "MOVE", Stage: trem.StageSent},
		{Op: "MOVE", Stage: trem.StageSent, HoldUntil: until},
		{Op: "COPY", Stage: trem.StageSent},
		{Op: "MOVE", Stage: trem.StageSent, Cancelled: true},
		{Op: "MOVE", Stage: trem.StageUnconfirmed},
		{Op: "LEND", Stage: trem.StageLent, Until: until},
		{Op: "LEND", Stage: trem.StageLent, Until: until, Cancelled: true},
		{Op: "LEND", Stage: trem.StageBorrowed, Until: until},
		{Op: "LEND", Stage: trem.StageReturned, Until: until},
		{Op: "MOVE", Stage: trem.StageInDoubt},
		{Op: "MOVE", Stage: trem.StageReleased, HoldUntil: until},
	}
}

// TestWords_EveryStageOfATransfer: each is said, to the name of the other side or
// without one, without the standard's words, and unlike the others.
func TestWords_EveryStageOfATransfer(t *testing.T) {
	for _, peer := range []string{"Tablet", ""} {
		said := map[string]trem.Transfer{}
		for _, x := range stages() {
			words := httpd.TransferWords(x, peer)
			if w := internalWords.FindString(words); w != "" || !strings.HasSuffix(words, ".") {
				t.Errorf("%+v: %q (%q)", x, words, w)
			}
			name := peer
			if name == "" {
				name = "other device"
			}
			if !strings.Contains(words, name) {
				t.Errorf("%+v: %q does not say who", x, words)
			}
			if x.Until > 0 && x.Stage != trem.StageReturned && !strings.Contains(words, "24 Dec 2026, 18:00") {
				t.Errorf("%+v: %q does not say until when", x, words)
			}
			if y, ok := said[words]; ok && (y.Stage != x.Stage || y.Cancelled != x.Cancelled) {
				t.Errorf("%+v and %+v are both %q", x, y, words)
			}
			said[words] = x
		}
	}
	if lost := "nobody else can decide"; !strings.Contains(httpd.TransferWords(stages()[0], ""), lost) || strings.Contains(httpd.TransferWords(stages()[1], ""), lost) ||
		strings.Contains(httpd.TransferWords(stages()[2], ""), lost) {
		t.Error("what cannot be decided by another is not said, or said of what can be")
	}
}

// member pairs a device with a house that is served; it can be sealed to.
func member(t *testing.T, h *home.Home, name string, delivery []byte) ident.Device {
	t.Helper()
	return admitted(t, h, name, delivery, hometest.Certificate(t, name))
}

// admitted is member for the device with this certificate.
func admitted(t *testing.T, h *home.Home, name string, delivery, leaf []byte) ident.Device {
	t.Helper()
	nonce := [home.NonceSize]byte{1}
	commit := home.Commit(nonce)
	got, err := h.OpenPairing(t.Context(), home.PairingOffer{Chain: [][]byte{leaf}, Delivery: delivery, Commit: commit[:], Name: name})
	if err == nil {
		err = h.RevealPairing(t.Context(), got.ID, nonce[:])
	}
	for _, p := range h.Pending() {
		if err == nil {
			_, err = h.Approve(t.Context(), got.ID, p.Code)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range h.Devices() {
		if cmp.Equal(d.Chain, [][]byte{leaf}) {
			return d.ID
		}
	}
	t.Fatal("it is no member")
	return ident.Device{}
}

// TestHTTP_HandOver: what the owner asks for, and how the house says no.
func TestHTTP_HandOver(t *testing.T) {
	srv, h, module := house(t, cenc.SchemeCENC)
	tablet := member(t, h, "Tablet", []byte("delivery"))
	member(t, h, "Twin", []byte("delivery"))
	member(t, h, "Twin", []byte("delivery"))
	member(t, h, "Old", nil)
	ask := func(in any, edit ...func(*http.Request)) (int, []byte) {
		res, body := get(t, "POST", srv.URL+"/api/v1/transfers", in, edit...)
		return res.StatusCode, body
	}
	var order trem.HandOver
	answer, fail := trem.Handed{}, error(nil)
	module.OnHandOver = func(o trem.HandOver) (trem.Handed, error) {
		order = o
		return answer, fail
	}
	lend := httpd.HandOverRequest{Op: trem.OpLend, Content: filmPath, To: "Tablet", ForMS: 1000, Plays: 2, HoldMS: 3}
	answer.Transfer = ident.Transfer{Dst: tablet, Seq: 1}
	var got httpd.HandOverAnswer
	if status, body := ask(lend); status != http.StatusCreated || json.Unmarshal(body, &got) != nil || got.Transfer != answer.Transfer || got.Arrived {
		t.Errorf("%d %s", status, body)
	}
	if order.Op != lend.Op || order.Content != lend.Content || order.ForMS != 1000 || order.Plays != 2 || order.HoldMS != 3 || string(order.To.Delivery) != "delivery" {
		t.Errorf("order %+v", order)
	}
	answer.Events = []trem.Event{{Kind: trem.EventReceipt, Transfer: answer.Transfer, Installed: true}}
	if status, body := ask(lend); status != http.StatusCreated || json.Unmarshal(body, &got) != nil || !got.Arrived {
		t.Errorf("%d %s", status, body)
	}
	for _, tc := range []struct {
		name   string
		in     any
		err    error
		status int
		code   string
	}{
		{"nothing", map[string]any{}, nil, 400, "malformed"},
		{"an unknown operation", map[string]any{"op": "STEAL", "content": filmPath, "to": "Tablet"}, nil, 400, "malformed"},
		{"an unknown field", map[string]any{"op": "LEND", "content": filmPath, "to": "Tablet", "x": 1}, nil, 400, "malformed"},
		{"to nobody", httpd.HandOverRequest{Op: trem.OpLend, Content: filmPath, To: "Nobody"}, nil, 404, "not_found"},
		{"to one of two", httpd.HandOverRequest{Op: trem.OpLend, Content: filmPath, To: "Twin"}, nil, 422, "ambiguous"},
		{"to an old one", httpd.HandOverRequest{Op: trem.OpLend, Content: filmPath, To: "Old"}, nil, 422, "pair_again"},
		{"refused", lend, &trem.RefusalError{Decision: license.Decision{Action: permission.Lend, Reasons: []license.Reason{{Code: license.LentOut, Closed: true}}}}, 403, "refused"},
		{"not now", lend, &trem.Error{Code: trem.CodeState, Text: "this license has not been confirmed"}, 409, "not_now"},
		{"rejected", lend, &trem.Error{Code: trem.CodeRejected, Text: "too many"}, 422, "rejected"},
		{"broken", lend, &trem.Error{Code: trem.CodeBroken, Text: "the store"}, 500, "internal"},
	} {
		fail = tc.err
		status, body := ask(tc.in)
		if status != tc.status || code(t, body) != tc.code {
			t.Errorf("%s: %d %s, want %d %s", tc.name, status, body, tc.status, tc.code)
		}
		var p httpd.Problem
		if err := json.Unmarshal(body, &p); err != nil || internalWords.MatchString(p.Detail+strings.Join(p.Words, " ")) {
			t.Errorf("%s: people read %s", tc.name, body)
		}
	}
}

// TestHTTP_Transfers: what waits is listed with its words, can be asked back and
// renewed, and what does not wait is not found.
func TestHTTP_Transfers(t *testing.T) {
	srv, h, module := house(t, cenc.SchemeCENC)
	tablet := member(t, h, "Tablet", []byte("delivery"))
	list := func() []httpd.TransferView {
		t.Helper()
		var v struct {
			Transfers []httpd.TransferView `json:"transfers"`
		}
		res, body := get(t, "GET", srv.URL+"/api/v1/transfers", nil)
		if err := json.Unmarshal(body, &v); err != nil || res.StatusCode != http.StatusOK || v.Transfers == nil {
			t.Fatalf("%d %s: %v", res.StatusCode, body, err)
		}
		return v.Transfers
	}
	if got := list(); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	want := stages()
	for i := range want {
		want[i].ID = ident.Transfer{Src: module.State.Device, Dst: tablet, Incarnation: ident.Incarnation{1}, Seq: uint64(i + 1)}
		want[i].Peer, want[i].License, want[i].Content = tablet, ident.License{1}, filmPath
		if want[i].Stage == trem.StageReturned {
			want[i].Content = ""
		}
	}
	module.Lock()
	module.Moving = want
	module.Unlock()
	got := list()
	if len(got) != len(want) {
		t.Fatalf("%d are listed, want %d", len(got), len(want))
	}
	for i, v := range got {
		if v.Transfer != want[i] || v.PeerName != "Tablet" || v.Words != httpd.TransferWords(want[i], "Tablet") {
			t.Errorf("%+v, want %+v", v, want[i])
		}
	}
	for _, path := range []string{"cancel", "renew"} {
		body := map[string]any{"transfer": want[5].ID}
		if path == "renew" {
			body["for_ms"] = 1000
		}
		if res, data := get(t, "POST", srv.URL+"/api/v1/transfers/"+path, body); res.StatusCode != http.StatusNoContent {
			t.Errorf("%s: %d %s", path, res.StatusCode, data)
		}
		body["transfer"] = ident.Transfer{Src: tablet, Dst: module.State.Device, Incarnation: ident.Incarnation{9}, Seq: 1}
		if res, data := get(t, "POST", srv.URL+"/api/v1/transfers/"+path, body); res.StatusCode != http.StatusNotFound || code(t, data) != "not_found" {
			t.Errorf("%s of nothing: %d %s", path, res.StatusCode, data)
		}
		if res, data := get(t, "POST", srv.URL+"/api/v1/transfers/"+path, map[string]any{"transfer": "x"}); res.StatusCode != http.StatusBadRequest {
			t.Errorf("%s of what is no ID: %d %s", path, res.StatusCode, data)
		}
	}
	if got := list(); !got[5].Cancelled {
		t.Errorf("asked back, and not shown as such: %+v", got[5])
	}
}

// on puts a request on a link.
func on(link lrp.LinkID) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(lrphttp.LinkHeader, link.Header()) }
}

// TestHTTP_RecipientsAndLetters: what a device asks its house for, and nothing
// that belongs to the owner.
func TestHTTP_RecipientsAndLetters(t *testing.T) {
	srv, h, module := house(t, cenc.SchemeCENC)
	leaf, key := hometest.Keyed(t, "My Tablet")
	tablet := admitted(t, h, "My Tablet", []byte("delivery"), leaf)
	client := &lrphttp.Client{URL: srv.URL, Who: hometest.Who(leaf, key, tablet, module.State.Device), Now: h.Now}
	for name, want := range map[string]ident.Device{"My%20Tablet": tablet, tablet.String(): tablet, "house": module.State.Device} {
		var r home.Recipient
		res, body := get(t, "GET", srv.URL+home.PathRecipients+"/"+name, nil)
		if err := json.Unmarshal(body, &r); err != nil || res.StatusCode != http.StatusOK || r.ID != want {
			t.Errorf("%s: %d %s (%v)", name, res.StatusCode, body, err)
		}
	}
	if res, body := get(t, "GET", srv.URL+home.PathRecipients+"/Phone", nil); res.StatusCode != http.StatusNotFound || code(t, body) != "not_found" {
		t.Errorf("a stranger: %d %s", res.StatusCode, body)
	}
	module.OnHandOver = func(trem.HandOver) (trem.Handed, error) {
		return trem.Handed{Letters: []trem.Letter{{To: tablet, Topic: [16]byte{1}, Bytes: []byte("sealed")}}}, nil
	}
	if _, err := h.HandOver(t.Context(), trem.HandOver{Op: trem.OpMove, Content: filmPath}, "My Tablet"); err != nil {
		t.Fatal(err)
	}
	link, err := client.Link(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	letters := func(query string) (v struct{ Letters []home.Letter }) {
		t.Helper()
		res, body := get(t, "GET", srv.URL+home.PathLetters+"/"+query, nil, on(link))
		if err := json.Unmarshal(body, &v); err != nil || res.StatusCode != http.StatusOK || v.Letters == nil {
			t.Fatalf("%s: %d %s (%v)", query, res.StatusCode, body, err)
		}
		return v
	}
	got := letters(tablet.String() + "?after=0").Letters
	if len(got) != 1 || string(got[0].Bytes) != "sealed" || got[0].Number == 0 {
		t.Fatalf("%+v", got)
	}
	if got := letters(fmt.Sprintf("%v?after=%d", tablet, got[0].Number)).Letters; len(got) != 0 {
		t.Errorf("what was taken is given again: %+v", got)
	}
	for name, edit := range map[string]func(*http.Request){"no link": func(*http.Request) {}, "another link": on(lrp.LinkID{1})} {
		if res, body := get(t, "GET", srv.URL+home.PathLetters+"/"+tablet.String()+"?after=0", nil, edit); res.StatusCode != http.StatusForbidden || code(t, body) != "unproven" {
			t.Errorf("%s: %d %s", name, res.StatusCode, body)
		}
	}
	if res, _ := get(t, "GET", srv.URL+home.PathLetters+"/"+ident.Device{9}.String()+"?after=0", nil, on(link)); res.StatusCode != http.StatusForbidden {
		t.Errorf("another's letters: %d", res.StatusCode)
	}
	if kept, err := client.Poll(t.Context(), 0); err != nil || len(kept) != 1 || kept[0].Number != got[0].Number {
		t.Errorf("by the way back: %+v, %v", kept, err)
	}
	for _, bad := range []string{tablet.String(), tablet.String() + "?after=-1", tablet.String() + "?after=x", "tablet?after=0"} {
		if res, body := get(t, "GET", srv.URL+home.PathLetters+"/"+bad, nil, on(link)); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d %s", bad, res.StatusCode, body)
		}
	}
}
