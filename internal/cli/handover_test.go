package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

func TestTransferCommands_Lasting(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"": 0, "90m": 90 * time.Minute, "6h": 6 * time.Hour, "14d": 14 * 24 * time.Hour, "1h30m": 90 * time.Minute, "4s": 4 * time.Second,
		"1ms": time.Millisecond, "65535d": 65535 * 24 * time.Hour,
	} {
		if got, err := lasting(in); err != nil || got != want.Milliseconds() {
			t.Errorf("%q is %d ms (%v), want %d", in, got, err, want.Milliseconds())
		}
	}
	for _, in := range []string{"0", "0d", "0h", "-1h", "-2d", "d", "14", "2 d", "1.5d", "65536d", "9999999999999d", "1w", "soon", "1ns", "9999999999h"} {
		got, err := lasting(in)
		var e *exitError
		if !errors.As(err, &e) || e.code != statusUsage {
			t.Errorf("%q is %d ms (%v), want a wrong use", in, got, err)
		}
	}
}

// lendingHouse is a served house with one member, over a stand-in for its module.
func lendingHouse(t *testing.T) (dir string, m *hometest.Module, tablet ident.Device) {
	t.Helper()
	dir, m = t.TempDir(), hometest.New(t, nil)
	h, err := home.New(home.Config{Dir: dir, Module: m, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	handler, err := httpd.New(httpd.Config{Home: h, Frames: http.NotFoundHandler()})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	nonce := [home.NonceSize]byte{1}
	commit := home.Commit(nonce)
	got, err := h.OpenPairing(t.Context(), home.PairingOffer{Chain: [][]byte{hometest.Certificate(t, "tablet")}, Delivery: []byte("delivery"), Commit: commit[:], Name: "tablet"})
	if err == nil {
		err = h.RevealPairing(t.Context(), got.ID, nonce[:])
	}
	if err == nil {
		_, err = h.Approve(t.Context(), got.ID, h.Pending()[0].Code)
	}
	if err == nil {
		err = writeURL(dir, srv.URL)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir, m, h.Devices()[0].ID
}

// TestTransferCommands_OfTheHouse: what they say, in words and in JSON, and with
// which status they end.
func TestTransferCommands_OfTheHouse(t *testing.T) {
	dir, m, tablet := lendingHouse(t)
	id := ident.Transfer{Src: m.State.Device, Dst: tablet, Incarnation: ident.Incarnation{1}, Seq: 1}
	answer, fail := trem.Handed{Transfer: id}, error(nil)
	var order trem.HandOver
	m.OnHandOver = func(h trem.HandOver) (trem.Handed, error) {
		order = h
		return answer, fail
	}
	lent := trem.Transfer{ID: id, Op: "LEND", Stage: trem.StageLent, Peer: tablet, License: ident.License{1}, Content: "rental", Until: 1_800_000_000_000}
	no := &trem.RefusalError{Decision: license.Decision{Action: permission.Lend, Reasons: []license.Reason{{Code: license.LentOut, Closed: true}}}}
	receipt := trem.Event{Kind: trem.EventReceipt, Transfer: id}
	took, sent := receipt, receipt
	took.Installed, sent.Code = true, "UNACCEPTABLE"
	for _, tc := range []struct {
		args   []string
		fail   error
		events []trem.Event
		code   int
		want   string
	}{
		{args: []string{"transfers"}, want: "Nothing is on its way, and nothing is lent."},
		{args: []string{"lend", "rental", "--to", "tablet", "--for", "2d"}, want: "rental waits for tablet"},
		{args: []string{"move", "rental", "--to", "tablet"}, events: []trem.Event{took}, want: "Tablet has rental."},
		{args: []string{"move", "rental", "--to", "tablet"}, events: []trem.Event{sent}, code: statusRefused, want: "did not take rental"},
		{args: []string{"lend", "rental", "--to", "tablet", "--json"}, want: `"transfer": {`},
		{args: []string{"lend", "rental"}, code: statusUsage, want: `"to" not set`},
		{args: []string{"lend", "rental", "--to", "tablet", "--for", "soon"}, code: statusUsage, want: `"soon" is no time`},
		{args: []string{"lend", "--to", "tablet"}, code: statusUsage, want: "accepts 1 arg"},
		{args: []string{"copy", "rental", "--to", "phone"}, code: statusError, want: "no such thing"},
		{args: []string{"lend", "rental", "--to", "tablet"}, fail: no, code: statusRefused, want: "It is lent."},
		{args: []string{"move", "rental", "--to", "tablet"}, fail: &trem.Error{Code: trem.CodeState, Text: "x"}, code: statusLater, want: "cannot do this now"},
		{args: []string{"move", "rental", "--to", "tablet"}, fail: &trem.Error{Code: trem.CodeRejected, Text: "it is here already"}, code: statusRefused, want: "it is here already"},
		{args: []string{"cancel", "rental"}, code: statusError, want: "rental is not on its way anywhere, and not lent"},
	} {
		fail, answer.Events = tc.fail, tc.events
		code, out, errs := runHome(t, dir, tc.args...)
		if code != tc.code || !strings.Contains(out+errs, tc.want) {
			t.Errorf("home %v: status %d, %q %q, want %d and %q", tc.args, code, out, errs, tc.code, tc.want)
		}
		peopleRead(t, strings.Join(tc.args, " "), strings.ReplaceAll(out+errs, "--issuer", ""))
	}
	fail, answer.Events = nil, nil
	runHome(t, dir, "move", "rental", "--to", "tablet", "--within", "7d")
	if order.Op != trem.OpMove || order.HoldMS != 7*24*time.Hour.Milliseconds() || order.ForMS != 0 || order.Content != "rental" {
		t.Errorf("order %+v", order)
	}
	m.Lock()
	m.Moving = []trem.Transfer{lent}
	m.Unlock()
	if code, out, _ := runHome(t, dir, "transfers"); code != statusDone || !strings.HasPrefix(out, "rental: It is lent to tablet") {
		t.Errorf("transfers: %d %q", code, out)
	}
	var v homeTransfers
	code, out, _ := runHome(t, dir, "transfers", "--json")
	if err := json.Unmarshal([]byte(out), &v); err != nil || code != statusDone || len(v.Transfers) != 1 || v.Transfers[0].Transfer != lent || v.Transfers[0].PeerName != "tablet" {
		t.Errorf("transfers --json: %d %s (%v)", code, out, err)
	}
	if code, out, errs := runHome(t, dir, "cancel", "rental"); code != statusDone || !strings.Contains(out, "asked back from tablet") {
		t.Errorf("cancel: %d %q %q", code, out, errs)
	}
	if code, out, _ := runHome(t, dir, "transfers"); code != statusDone || !strings.Contains(out, "called back") {
		t.Errorf("transfers after cancel: %d %q", code, out)
	}
}

// TestTransferCommands_WhenTheHouseIsAway: nothing is wrong, it is only not now.
func TestTransferCommands_WhenTheHouseIsAway(t *testing.T) {
	dir := t.TempDir()
	if err := writeURL(dir, "http://127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"transfers"}, {"lend", "rental", "--to", "tablet"}, {"cancel", "rental"}} {
		if code, out, errs := runHome(t, dir, args...); code != statusLater {
			t.Errorf("home %v: status %d, %q %q, want %d", args, code, out, errs, statusLater)
		}
	}
}

// TestTransferCommands_RefusalsOfADevice: a decision and a rule end with status 3,
// what is not possible now with 4, and the rest is an error.
func TestTransferCommands_RefusalsOfADevice(t *testing.T) {
	for _, tc := range []struct {
		err  error
		code int
	}{
		{&trem.RefusalError{Decision: license.Decision{Action: permission.Move, Reasons: []license.Reason{{Code: license.NoGrant, Closed: true}}}}, statusRefused},
		{&trem.Error{Code: trem.CodeRejected, Text: "it is here already"}, statusRefused},
		{&trem.Error{Code: trem.CodeState, Text: "a copy is on its way"}, statusLater},
		{&trem.Error{Code: trem.CodeBroken, Text: "the store failed"}, statusError},
		{errors.New("no disk"), statusError},
	} {
		for _, args := range [][]string{nil, {"--json"}} {
			var out, errs bytes.Buffer
			env := &Env{Stdout: &out, Stderr: &errs, Now: time.Now}
			cmd := newDeviceCmd(env)
			cmd.Flags().Bool("json", false, "")
			if err := cmd.ParseFlags(args); err != nil {
				t.Fatal(err)
			}
			err := env.decided(cmd, notNow(tc.err))
			code := statusError
			if e, ok := errors.AsType[*exitError](err); ok {
				code = e.code
			}
			if err == nil || code != tc.code {
				t.Errorf("%v: %v, status %d, want %d", tc.err, err, code, tc.code)
			}
		}
	}
}

// TestTransferCommands_WordsOfAHandOver: on its way, arrived, refused; to a device
// and to the house.
func TestTransferCommands_WordsOfAHandOver(t *testing.T) {
	id := ident.Transfer{Seq: 1}
	for _, tc := range []struct {
		to     string
		events []trem.Event
		want   string
		done   bool
	}{
		{"phone", nil, "rental is on its way to phone", false},
		{"house", nil, "rental is on its way to the house", false},
		{"phone", []trem.Event{{Kind: trem.EventReceipt, Transfer: ident.Transfer{Seq: 2}, Installed: true}}, "is on its way", false},
		{"phone", []trem.Event{{Kind: trem.EventReceipt, Transfer: id, Installed: true}}, "Phone has rental.", true},
		{"house", []trem.Event{{Kind: trem.EventReceipt, Transfer: id, Installed: true}}, "The house has rental.", true},
		{"phone", []trem.Event{{Kind: trem.EventReceipt, Transfer: id, Code: "EXPIRED"}}, "Phone did not take rental (EXPIRED). It is here again.", false},
	} {
		g := goes{Transfer: id, Content: "rental", To: tc.to}
		g.read(tc.events)
		if !strings.Contains(g.words, tc.want) || g.Arrived != tc.done {
			t.Errorf("to %s: %q, arrived %v, want %q", tc.to, g.words, g.Arrived, tc.want)
		}
		peopleRead(t, "words", g.words)
	}
}

// TestTransferCommands_ListOfADevice: each stage has words; what came and what
// did not is said; a loan that was given back has no title any more.
func TestTransferCommands_ListOfADevice(t *testing.T) {
	peer := ident.Device{7}
	list := []trem.Transfer{
		{Op: "MOVE", Stage: trem.StageSent, Peer: peer, Content: "rental"},
		{Op: "LEND", Stage: trem.StageReturned, Peer: peer},
	}
	events := []trem.Event{{Kind: trem.EventInstalled, Content: "film"}, {Kind: trem.EventFailed, Text: "it is over"}}
	var out bytes.Buffer
	if err := listTransfers(&out, list, map[ident.Device]string{peer: "phone"}, events, errors.New("no route")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"film has come to this device.", "Something came that this device does not take: it is over.", "rental: It is on its way to phone",
		"A borrowed title: It was given back. Phone has not heard it yet.", "The house does not answer now: no route.",
	} {
		if !strings.Contains(out.String(), want+"\n") && !strings.Contains(out.String(), want+" ") {
			t.Errorf("%q lacks %q", out.String(), want)
		}
	}
	peopleRead(t, "device transfers", out.String())
	data, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	var back []trem.Transfer
	if err := json.Unmarshal(data, &back); err != nil || back[0] != list[0] || back[1] != list[1] || strings.Contains(string(data), `"content":""`) {
		t.Errorf("%s (%v)", data, err)
	}
	out.Reset()
	if err := listTransfers(&out, nil, nil, nil, nil); err != nil || out.String() != "Nothing is on its way.\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}
