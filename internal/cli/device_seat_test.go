package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

// seatModule answers a device's host as a module does, and keeps what it was asked.
type seatModule struct {
	asked []trem.PlaceOrder // in order
	next  int               // licenses of the title beside the first
	says  func(answer []byte) trem.PlaceTaken

	beat   error // of BEAT
	nobody bool  // is to be asked by BEAT
}

func (m *seatModule) serve(conn net.Conn) {
	for {
		in, err := trem.ReadMessage(conn)
		if err != nil {
			return
		}
		var out any
		switch cmd, body, _ := trem.ParseRequest(in.Header); cmd {
		case trem.CmdAskPlace:
			var o trem.PlaceOrder
			if err = trem.ParseBody(body, &o); err == nil {
				m.asked = append(m.asked, o)
			}
			ask := trem.PlaceAsk{Object: []byte("ask"), Chain: [][]byte{{1}}, License: ident.License{4}}
			if m.next > 0 {
				n := byte(4 + len(m.asked) - 1) //nolint:gosec // a few
				ask.Object, ask.License = append(ask.Object, n), ident.License{n}
			}
			if o.Next && len(m.asked) > m.next+1 {
				ask = trem.PlaceAsk{}
			}
			if o.Op == trem.PlaceBeat {
				if err = m.beat; m.nobody {
					ask = trem.PlaceAsk{}
				}
			}
			out = ask
		case trem.CmdBegin:
			out = trem.Session{Handle: 9}
		case trem.CmdEnd:
			out = trem.None{}
		case trem.CmdTakePlace:
			var answer []byte
			err = trem.ParseBody(body, &answer)
			out = m.says(answer)
		default:
			err = errors.New("not here")
		}
		header, _ := trem.NewReply(out, err)
		if trem.WriteMessage(conn, trem.Message{Header: header}) != nil {
			return
		}
	}
}

// houseOf is a house behind an HTTP client.
type houseOf func(trem.PlaceAsk) (home.PlaceAnswer, error)

func (h houseOf) RoundTrip(r *http.Request) (*http.Response, error) {
	var ask trem.PlaceAsk
	if err := json.NewDecoder(r.Body).Decode(&ask); err != nil {
		return nil, err
	}
	got, err := h(ask)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(got)
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(body))}, err
}

func seatedDevice(t *testing.T, m *seatModule, h houseOf) *device {
	t.Helper()
	host, inside := net.Pipe()
	go m.serve(inside)
	t.Cleanup(func() { _, _ = host.Close(), inside.Close() })
	return &device{trem: trem.NewClient(host), client: &http.Client{Transport: h}, cfg: deviceConfig{Home: "http://house.test"}}
}

// A play asks for its place, again where it has to, tells the house once a minute that it
// runs, ends with the name of the screen that took it over, and then asks no more.
func TestPlaces_APlayEndsWhereAnotherTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		phone := ident.Device{7}
		m := &seatModule{}
		m.says = func(answer []byte) trem.PlaceTaken {
			switch string(answer) {
			case "again":
				return trem.PlaceTaken{Outcome: trem.PlaceAgain, Again: &trem.PlaceAsk{Object: []byte("ask 2"), Chain: [][]byte{{1}}}}
			case "lost":
				return trem.PlaceTaken{Outcome: trem.PlaceLost, By: phone}
			}
			return trem.PlaceTaken{Outcome: trem.PlaceGranted}
		}
		var answer string
		d := seatedDevice(t, m, func(a trem.PlaceAsk) (home.PlaceAnswer, error) {
			switch {
			case answer == "away":
				return home.PlaceAnswer{}, errors.New("no route")
			case answer == "" && string(a.Object) == "ask":
				return home.PlaceAnswer{Object: []byte("again")}, nil
			}
			return home.PlaceAnswer{Object: []byte(answer), Screens: []home.PlaceScreen{{Device: phone, Screen: "Phone"}}}, nil
		})
		s, err := d.seat(t.Context(), trem.Ask{Content: "lares-film"})
		if err != nil || s.license != (ident.License{4}) {
			t.Fatalf("%+v %v", s, err)
		}
		ctx := s.keep(t.Context(), 9)
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if n := len(m.asked); n != 2 || m.asked[0].Op != trem.PlaceBegin || m.asked[1].Op != trem.PlaceBeat || m.asked[1].Session != 9 {
			t.Fatalf("asked %+v", m.asked)
		}
		answer = "away"
		time.Sleep(60 * time.Second) // one that is not heard
		answer = "lost"
		select {
		case <-ctx.Done():
		case <-time.After(25 * time.Second):
			t.Fatal("the play goes on after a heartbeat that was answered LOST")
		}
		err = s.leave(t.Context())
		if err == nil || !strings.Contains(err.Error(), "Phone") {
			t.Errorf("it ends with %v", err)
		}
		if last := m.asked[len(m.asked)-1]; last.Op != trem.PlaceBeat {
			t.Errorf("it gives back what it does not have: %+v", last)
		}
	})
}

// A title whose first license is full is asked for by the next one, until there is none.
func TestPlaces_TheNextLicenseIsAskedFor(t *testing.T) {
	for granted, want := range []ident.License{{4}, {5}, {6}, {6}} {
		m := &seatModule{next: 2}
		m.says = func(answer []byte) trem.PlaceTaken {
			if string(answer) == string([]byte{byte(4 + granted)}) {
				return trem.PlaceTaken{Outcome: trem.PlaceGranted}
			}
			return trem.PlaceTaken{Outcome: trem.PlaceFull}
		}
		d := seatedDevice(t, m, func(a trem.PlaceAsk) (home.PlaceAnswer, error) {
			return home.PlaceAnswer{Object: a.Object[3:], Screens: []home.PlaceScreen{{Device: ident.Device{7}}}}, nil
		})
		s, err := d.seat(t.Context(), trem.Ask{Content: "lares-film"})
		if err != nil || s.license != want {
			t.Errorf("%d: %v, want %v: %v", granted, s.license, want, err)
		}
		if granted == 3 && len(s.screens) != 3 {
			t.Errorf("who has them: %+v", s.screens)
		}
	}
}

// A house that answers, but not with a place, is not one that is away: its words are told.
func TestPlaces_TheHouseAnswersNo(t *testing.T) {
	for _, tc := range []struct {
		house http.RoundTripper
		want  string
	}{
		{houseOf(func(trem.PlaceAsk) (home.PlaceAnswer, error) { return home.PlaceAnswer{}, errors.New("no route") }), ""},
		{answers{409, `{"detail":"This device was put out."}`}, "409 Conflict: This device was put out."},
		{answers{502, "<html>"}, "502 Bad Gateway"},
		{answers{200, "<html>"}, "cannot be read"},
	} {
		d := seatedDevice(t, &seatModule{}, nil)
		d.client.Transport = tc.house
		var out bytes.Buffer
		ran := false
		err := d.seated(t.Context(), &Env{Stderr: &out}, trem.Ask{Content: "lares-film"}, func(context.Context, trem.Session) error { ran = true; return nil })
		if err != nil || !ran || tc.want == "" && out.Len() > 0 || !strings.Contains(out.String(), tc.want) {
			t.Errorf("want %q: says %q, %v", tc.want, out.String(), err)
		}
	}
}

// answers is a house whose answer is no place.
type answers struct {
	status int
	body   string
}

func (a answers) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: a.status, Status: fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)), Body: io.NopCloser(strings.NewReader(a.body))}, nil
}

// Where a heartbeat has nobody to ask nothing is sent, and the play goes on.
func TestPlaces_NobodyIsToBeAskedAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, sent := &seatModule{nobody: true}, 0
		m.says = func([]byte) trem.PlaceTaken { return trem.PlaceTaken{Outcome: trem.PlaceGranted} }
		d := seatedDevice(t, m, func(trem.PlaceAsk) (home.PlaceAnswer, error) { sent++; return home.PlaceAnswer{}, nil })
		s, err := d.seat(t.Context(), trem.Ask{Content: "lares-film"})
		if err != nil {
			t.Fatal(err)
		}
		ctx := s.keep(t.Context(), 9)
		time.Sleep(5 * time.Minute)
		if synctest.Wait(); sent != 1 || len(m.asked) != 2 || ctx.Err() != nil {
			t.Errorf("%d were sent, the module was asked %d times: %v", sent, len(m.asked), ctx.Err())
		}
		if err := s.leave(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// What a play failed with is not hidden by what its heartbeat failed with; only that it
// goes on elsewhere is all there is to say.
func TestPlaces_APlayThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("the file is torn")
		for _, lost := range []bool{false, true} {
			m, n := &seatModule{}, 0
			m.says = func([]byte) trem.PlaceTaken {
				if n++; n == 1 {
					return trem.PlaceTaken{Outcome: trem.PlaceGranted}
				}
				return trem.PlaceTaken{Outcome: trem.PlaceLost}
			}
			if !lost {
				m.beat = &trem.Error{Code: trem.CodeState, Text: "not now"}
			}
			d := seatedDevice(t, m, func(trem.PlaceAsk) (home.PlaceAnswer, error) { return home.PlaceAnswer{}, nil })
			err := d.seated(t.Context(), &Env{Stderr: io.Discard}, trem.Ask{Content: "lares-film"}, func(ctx context.Context, _ trem.Session) error {
				<-ctx.Done()
				return broken
			})
			if err == nil || errors.Is(err, broken) == lost {
				t.Errorf("lost %v: it ends with %v", lost, err)
			}
		}
	})
}

// Without a house a play begins, and gives nothing back that waits for an answer.
func TestPlaces_APlayWithoutItsHouse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &seatModule{}
		d := seatedDevice(t, m, func(trem.PlaceAsk) (home.PlaceAnswer, error) { return home.PlaceAnswer{}, errors.New("no route") })
		s, err := d.seat(t.Context(), trem.Ask{Content: "lares-film"})
		if err != nil {
			t.Fatal(err)
		}
		s.keep(t.Context(), 9)
		if err := s.leave(t.Context()); err != nil {
			t.Error(err)
		}
		if last := m.asked[len(m.asked)-1]; last.Op != trem.PlaceEnd || last.License != s.license {
			t.Errorf("the end: %+v", last)
		}
		var out bytes.Buffer
		s.screens = []home.PlaceScreen{{Screen: "Phone", Since: time.Now()}}
		s.tell(&out, &trem.RefusalError{Decision: license.Decision{Reasons: []license.Reason{{Code: license.SlotFull, Closed: true, Remedy: license.Takeover}}}})
		if text := out.String(); !strings.Contains(text, "on this screen: Phone, since ") || !strings.Contains(text, "--takeover") {
			t.Errorf("it says %q", text)
		}
	})
}
