package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp/dnssd"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license/ident"
)

// tv is a running device agent.
type tv struct {
	t   *testing.T
	url string
}

func (v *tv) see() (out httpd.AgentView) {
	v.t.Helper()
	data, err := fetch(v.t.Context(), http.DefaultClient, v.url+"/api/v1/agent")
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		v.t.Fatal(err)
	}
	return out
}

// until waits for a view.
func (v *tv) until(what string, ok func(httpd.AgentView) bool) httpd.AgentView {
	v.t.Helper()
	var last httpd.AgentView
	for end := time.Now().Add(startGrace); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if last = v.see(); ok(last) {
			return last
		}
	}
	v.t.Fatalf("not seen: %s; the page shows %+v", what, last)
	return last
}

// order sends an order and wants a status.
func (v *tv) order(o httpd.AgentOrder, want int) string {
	v.t.Helper()
	data, err := json.Marshal(o)
	if err != nil {
		v.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(v.t.Context(), http.MethodPost, v.url+"/api/v1/orders", bytes.NewReader(data))
	if err != nil {
		v.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // read only
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != want {
		v.t.Errorf("%+v: %d %s %v, want %d", o, res.StatusCode, text, err, want)
	}
	return string(text)
}

func (v *tv) holds(id ident.Content) func(httpd.AgentView) bool {
	return func(a httpd.AgentView) bool {
		for _, t := range a.Titles {
			if t.Content == id {
				return true
			}
		}
		return false
	}
}

// TestAgent_SeeksWhileItHasNoHouse: houses of the network are shown until it belongs to one.
func TestAgent_SeeksWhileItHasNoHouse(t *testing.T) {
	dir, asked := t.TempDir(), 0
	a := newAgent(t.Context(), agentConfig{dir: dir, find: func(context.Context, time.Duration) ([]dnssd.Found, error) {
		asked++
		return []dnssd.Found{{URL: "http://192.168.7.9:7710"}}, nil
	}})
	a.seek(t.Context())
	if got := a.See(t.Context()).Found; len(got) != 1 || got[0] != "http://192.168.7.9:7710" {
		t.Errorf("found %q", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "device.json"), []byte(`{"home":"http://h","server":"`+ident.Device{1}.String()+`"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := a.See(t.Context()).Found; got != nil {
		t.Errorf("a house is offered to one that has one: %q", got)
	}
	if a.seek(t.Context()); asked != 1 {
		t.Errorf("the network is asked %d times", asked)
	}
}

// TestAgent_ATVBox is a box's life by its page: it joins a house, gets a title,
// plays it with the house gone, asks before a rental's time begins, and hands over.
func TestAgent_ATVBox(t *testing.T) {
	d := killHouse(t)
	if err := d.fillHome(t.Context()); err != nil {
		t.Fatal(err)
	}
	v, err := d.voucher(t.Context(), "--role", "device")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.must(t.Context(), "device", "init", "--dir", d.path("tv"), "--ca", d.caURL, "--voucher", v); err != nil {
		t.Fatal(err)
	}
	player := d.path("player")
	if err := os.WriteFile(player, []byte("#!/bin/sh\nprintf %s \"$1\" >"+d.path("playing")+".new\nmv "+d.path("playing")+".new "+d.path("playing")+"\nexec sleep 60\n"), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	url, err := d.serve("tv", "device", "serve", "--dir", d.path("tv"), "--listen", "127.0.0.1:0", "--name", "TV", "--player", player)
	if err != nil {
		t.Fatal(err)
	}
	box := &tv{t, url}
	d.boxJoins(t, box)
	box.order(httpd.AgentOrder{Do: httpd.OrderGet, Content: bought}, http.StatusOK)
	box.until("the title", box.holds(bought))
	box.order(httpd.AgentOrder{Do: httpd.OrderFetch, Content: bought}, http.StatusOK)
	d.boxHandsOver(t, box)
	box.order(httpd.AgentOrder{Do: httpd.OrderGet, Content: rented}, http.StatusOK)
	if text := box.order(httpd.AgentOrder{Do: httpd.OrderPlay, Content: rented}, http.StatusForbidden); !strings.Contains(text, `"confirm"`) || box.see().Ask != rented {
		t.Errorf("the rental starts without a question: %s", text)
	}
	if err := d.stop("home"); err != nil {
		t.Fatal(err)
	}
	d.boxPlays(t, box)
	if r := d.marked(t, d.path("tv"), statusDone)["shop and authority"]; !strings.Contains(r.Found, "house") {
		t.Errorf("the doctor says %+v", r)
	}
}

func (d *demo) boxJoins(t *testing.T, box *tv) {
	t.Helper()
	box.order(httpd.AgentOrder{Do: httpd.OrderPlay}, http.StatusBadRequest)
	box.order(httpd.AgentOrder{Do: "dance"}, http.StatusBadRequest)
	box.order(httpd.AgentOrder{Do: httpd.OrderGet, Content: bought}, http.StatusInternalServerError) // it belongs to no house
	box.order(httpd.AgentOrder{Do: httpd.OrderPair, Home: d.homeURL}, http.StatusOK)
	waits := box.until("the code", func(v httpd.AgentView) bool { return v.Code != "" })
	if waits.Asked != d.homeURL {
		t.Errorf("asked is %q", waits.Asked)
	}
	code := waits.Code
	if _, err := d.must(t.Context(), "home", "pair", code, "--dir", d.path("home")); err != nil {
		t.Fatal(err)
	}
	box.until("the house", func(v httpd.AgentView) bool { return v.Home == d.homeURL && v.Code == "" && v.Busy == "" })
}

// boxPlays plays with the house gone: the player gets the film, and stops when it is told.
func (d *demo) boxPlays(t *testing.T, box *tv) {
	t.Helper()
	box.order(httpd.AgentOrder{Do: httpd.OrderStop}, http.StatusConflict)
	box.order(httpd.AgentOrder{Do: httpd.OrderPlay, Content: bought}, http.StatusOK)
	var at []byte
	for end := time.Now().Add(startGrace); len(at) == 0 && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		at, _ = os.ReadFile(d.path("playing"))
	}
	list, err := fetch(t.Context(), http.DefaultClient, string(at))
	if err != nil || !strings.HasPrefix(string(list), "#EXTM3U") {
		t.Errorf("the player was given %q: %v", at, err)
	}
	if box.see().Playing == "" {
		t.Error("the page does not say what plays")
	}
	box.order(httpd.AgentOrder{Do: httpd.OrderStop}, http.StatusOK)
	box.until("the end", func(v httpd.AgentView) bool { return v.Playing == "" && v.Said == "Stopped." })
	if _, err := fetch(t.Context(), http.DefaultClient, string(at)); err == nil {
		t.Error("what was stopped is served")
	}
}

// boxHandsOver moves a title that has come to the box back to the house by its page.
func (d *demo) boxHandsOver(t *testing.T, box *tv) {
	t.Helper()
	if _, err := d.must(t.Context(), "device", "move", string(shared), "--here", "--dir", d.path("tv")); err != nil { // the folder is free in between
		t.Fatal(err)
	}
	if n := len(d.heldAtHome(t, shared)); n != 0 {
		t.Errorf("the house has %d of what moved", n)
	}
	box.order(httpd.AgentOrder{Do: httpd.OrderMove, Content: shared, To: "house"}, http.StatusOK)
	if n := len(d.heldAtHome(t, shared)); n != 1 || box.holds(shared)(box.see()) {
		t.Errorf("the house has %d, the page shows %+v", n, box.see().Titles)
	}
	box.order(httpd.AgentOrder{Do: httpd.OrderMove, Content: bought, To: "house"}, http.StatusForbidden)
}

// TestAgent_ListensOnThisMachineOnly refuses an address that others reach.
func TestAgent_ListensOnThisMachineOnly(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/trem", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, listen := range []string{":7730", "0.0.0.0:0", "192.168.1.2:7730", "nonsense"} {
		if _, errs, code := run(t, "device", "serve", "--dir", dir, "--listen", listen); code != statusUsage || !strings.Contains(errs, "this machine only") {
			t.Errorf("%s: status %d, %s", listen, code, errs)
		}
	}
}

// TestAgent_WordsOfAnOrderAreNeverFlags: what a page sends stands behind a flag or --.
func TestAgent_WordsOfAnOrderAreNeverFlags(t *testing.T) {
	a := &agent{}
	for _, do := range []string{httpd.OrderGet, httpd.OrderMove, httpd.OrderCopy, httpd.OrderLend, httpd.OrderReturn, httpd.OrderFetch} {
		words := a.words(httpd.AgentOrder{Do: do, Content: "--dir", To: "--here", For: "--x"})
		if n := len(words); words[n-2] != "--" || words[n-1] != "--dir" {
			t.Errorf("%s: %q", do, words)
		}
		for _, w := range words[1 : len(words)-2] {
			if !strings.HasPrefix(w, "--to=") && !strings.HasPrefix(w, "--for=") {
				t.Errorf("%s: %q is a flag", do, w)
			}
		}
	}
}
