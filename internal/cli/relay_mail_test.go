package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/interconnect/lrp/lrptest"
	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/license/ident"
)

// postOffice is a relay with a mailbox that runs in this process, at a time of its own.
type postOffice struct {
	t     *testing.T
	dir   string
	boxes []*lrptest.Party
	now   time.Time
	relay *carrier
	srv   *httptest.Server
}

func newPostOffice(t *testing.T, parties int) *postOffice {
	t.Helper()
	o := &postOffice{t: t, dir: filepath.Join(t.TempDir(), "mail"), now: lrptest.Start()}
	for range parties {
		o.boxes = append(o.boxes, lrptest.NewParty(t))
	}
	o.open()
	t.Cleanup(o.close)
	return o
}

// open starts it, as after a restart.
func (o *postOffice) open() {
	o.t.Helper()
	f := &relayFlags{mail: o.dir}
	for _, p := range o.boxes {
		f.boxes = append(f.boxes, p.Addr.String())
	}
	var err error
	if o.relay, err = newCarrier(f, func() time.Time { return o.now }); err != nil {
		o.t.Fatal(err)
	}
	h, err := o.relay.handler("")
	if err != nil {
		o.t.Fatal(err)
	}
	o.srv = httptest.NewServer(h)
}

func (o *postOffice) close() {
	o.srv.Close()
	if err := o.relay.close(); err != nil {
		o.t.Error(err)
	}
}

func (o *postOffice) as(p *lrptest.Party) *lrphttp.Client {
	return &lrphttp.Client{URL: o.srv.URL, Who: p.Introduction(o.relay.relay.Self), Now: func() time.Time { return o.now }}
}

func (o *postOffice) frame(dst, src *lrptest.Party, body []byte) lrp.Frame {
	return lrp.NewTransaction(dst.Addr, src.Addr, o.now, lrp.MailLife+time.Hour).Next(lrp.TypeSLTP, body)
}

// leaves leaves a frame and returns what was said; 0 is ACK.
func (o *postOffice) leaves(c *lrphttp.Client, f lrp.Frame) lrp.Code {
	o.t.Helper()
	err := leave(o.t.Context(), c, f)
	if e, ok := errors.AsType[*lrp.Error](err); ok {
		return e.Code
	}
	if err != nil {
		o.t.Fatal(err)
	}
	return 0
}

func (o *postOffice) fetch(c *lrphttp.Client, after uint64) []lrp.Kept {
	o.t.Helper()
	kept, err := c.Fetch(o.t.Context(), after)
	if err != nil {
		o.t.Fatal(err)
	}
	return kept
}

// Two that never meet: one leaves frames, the relay is started anew, the other takes
// them unchanged and in order. What was taken is gone, and not before.
func TestRelayMail_Spec17_MeetsThoseWhoNeverDo(t *testing.T) {
	o := newPostOffice(t, 2)
	house, car := o.boxes[0], o.boxes[1]
	self := o.relay.relay.Self
	var left []lrp.Frame
	for n := range byte(3) {
		f := o.frame(house, car, bytes.Repeat([]byte{n}, 100))
		if c := o.leaves(o.as(car), f); c != 0 {
			t.Fatalf("frame %d: %v", n, c)
		}
		left = append(left, f)
	}
	o.close()
	o.now = o.now.Add(6 * 24 * time.Hour)
	o.open()
	if o.relay.relay.Self != self {
		t.Error("it has another address after its restart")
	}
	c := o.as(house)
	kept := o.fetch(c, 0)
	if again := o.fetch(c, 0); len(kept) != 3 || len(again) != 3 {
		t.Fatalf("%d frames, then %d; want 3 both times, because none was taken yet", len(kept), len(again))
	}
	for i, k := range kept {
		want, _ := left[i].Encode()
		if got, err := k.Frame.Encode(); err != nil || !bytes.Equal(got, want) {
			t.Errorf("frame %d was changed (%v)", i, err)
		}
	}
	if rest := o.fetch(c, kept[1].Number); len(rest) != 1 {
		t.Errorf("%d wait after two were taken", len(rest))
	}
	if got := o.relay.mail.held(); got != (lrp.Share{Frames: 1, Bytes: 100}) {
		t.Errorf("it keeps %+v", got)
	}
	o.now = o.now.Add(2 * 24 * time.Hour)
	if late := o.fetch(o.as(house), 0); len(late) != 0 {
		t.Errorf("%d wait longer than a week", len(late))
	}
	files, err := os.ReadDir(filepath.Join(o.dir, relayFrames))
	if err != nil || len(files) != 0 {
		t.Errorf("on disk are %v, %v", files, err)
	}
}

// Who may, and what: only those with a box, each as itself, and nothing without a proof.
func TestRelayMail_Spec17_WhoMay(t *testing.T) {
	o := newPostOffice(t, 2)
	house, car, stranger := o.boxes[0], o.boxes[1], lrptest.NewParty(t)
	if err := leave(t.Context(), o.as(stranger), o.frame(house, stranger, []byte{1})); err == nil || relayWords(house.Addr, err) == nil {
		t.Error("a stranger leaves a frame")
	}
	if _, err := o.as(stranger).Fetch(t.Context(), 0); err == nil {
		t.Error("a stranger takes frames")
	}
	asCar := o.as(car)
	if c := o.leaves(asCar, o.frame(stranger, car, []byte{1})); c != lrp.CodeUnknownDst {
		t.Errorf("for who has no box: %v, want UNKNOWN_DST", c)
	}
	if _, err := (&lrphttp.Client{URL: o.srv.URL}).Fetch(t.Context(), 0); !errors.Is(err, lrp.ErrProof) {
		t.Errorf("without a link: %v", err)
	}
	got, err := (&lrphttp.Client{URL: o.srv.URL}).Exchange(t.Context(), o.frame(house, car, []byte{1}))
	if err != nil || len(got) != 1 || got[0].Type != lrp.TypeError {
		t.Errorf("without a proof: %v, %v", got, err)
	}
	link, err := asCar.Link(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err = (&lrphttp.Client{URL: o.srv.URL}).Pass(t.Context(), link, o.frame(car, house, []byte{1}))
	if err != nil || len(got) != 1 || got[0].Type != lrp.TypeError {
		t.Errorf("in another's name: %v, %v", got, err)
	}
	expired := o.frame(house, car, []byte{1})
	expired.Expires = o.now.UnixMilli()
	if c := o.leaves(asCar, expired); c != lrp.CodeExpired {
		t.Errorf("expired: %v", c)
	}
	if got := o.relay.mail.held(); got.Frames != 0 {
		t.Errorf("it keeps %+v", got)
	}
	if _, _, err := openRelayMail(o.dir, nil, time.Now); err == nil {
		t.Error("a second relay opens the same mailbox")
	}
}

// What one peer may leave is bounded in frames and bytes, and refused above with the
// time after which to try again, in the frame and in HTTP's header. Others have room.
func TestRelayMail_Spec17_Limits(t *testing.T) {
	o := newPostOffice(t, 4)
	house, car, boat, phone := o.boxes[0], o.boxes[1], o.boxes[2], o.boxes[3]
	c := o.as(car)
	for n := range lrp.MaxMailSource {
		if code := o.leaves(c, o.frame(house, car, []byte{byte(n)})); code != 0 {
			t.Fatalf("frame %d: %v", n, code)
		}
	}
	over := o.frame(house, car, []byte{1})
	err := leave(t.Context(), c, over)
	e, ok := errors.AsType[*lrp.Error](err)
	if !ok || e.Code != lrp.CodeFull || e.RetryMS != 60_000 {
		t.Errorf("frame %d of a source: %+v, want FULL in a minute", lrp.MaxMailSource+1, err)
	}
	words, ok := errors.AsType[*exitError](relayWords(house.Addr, err))
	if !ok || words.code != statusLater || !strings.Contains(words.Error(), "no more room for "+house.Addr.String()) || !strings.Contains(words.Error(), "Try again in 1m0s") {
		t.Errorf("it is said as %v", words)
	}
	link, err := c.Link(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	body, err := over.Encode()
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, o.srv.URL+lrphttp.Path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", lrphttp.TypeFrame)
	req.Header.Set(lrphttp.LinkHeader, link.Header())
	res, err := o.srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if got := res.Header.Get("Retry-After"); got != "60" {
		t.Errorf("Retry-After: %q, want 60", got)
	}
	large := bytes.Repeat([]byte{1}, lrp.MaxBody)
	fits := 0
	for ; fits < 20 && o.leaves(c, o.frame(boat, car, large)) == 0; fits++ {
	}
	if fits != lrp.MaxSourceBytes/lrp.MaxBody {
		t.Errorf("%d large frames of a source fit, want %d", fits, lrp.MaxSourceBytes/lrp.MaxBody)
	}
	if code := o.leaves(o.as(phone), o.frame(boat, phone, large)); code != 0 {
		t.Errorf("another source: %v", code)
	}
	if got := o.relay.mail.held(); got.Frames != lrp.MaxMailSource+fits+1 {
		t.Errorf("it keeps %+v", got)
	}
	_, metrics := answered(t, o.srv.URL+"/metrics")
	for _, want := range []string{"lares_relay_kept_total 41\n", "lares_relay_full_total 3\n", "lares_relay_mail_frames 41\n"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %q in\n%s", want, metrics)
		}
	}
	taken := o.fetch(o.as(house), 0)
	o.fetch(o.as(house), taken[len(taken)-1].Number)
	if code := o.leaves(c, over); code != 0 {
		t.Errorf("after the house came: %v", code)
	}
}

// A poll waits for what comes.
func TestRelayMail_Spec17_PollWaits(t *testing.T) {
	o := newPostOffice(t, 2)
	house, car := o.boxes[0], o.boxes[1]
	var all sync.WaitGroup
	all.Go(func() {
		kept, err := o.as(house).Poll(t.Context(), 0)
		if err != nil || len(kept) != 1 {
			t.Errorf("%v, %v", kept, err)
		}
	})
	time.Sleep(50 * time.Millisecond)
	if c := o.leaves(o.as(car), o.frame(house, car, []byte{1})); c != 0 {
		t.Error(c)
	}
	all.Wait()
}

// A relay that always has more, or counts backwards, does not hold its visitor.
func TestRelayMail_Spec17_LiarsHoldNobody(t *testing.T) {
	o := newPostOffice(t, 1)
	f := o.frame(o.boxes[0], o.boxes[0], []byte{1})
	for name, number := range map[string]func(asked int) uint64{
		"always more":  func(n int) uint64 { return uint64(n) + 1 },    //nolint:gosec // small
		"backwards":    func(n int) uint64 { return uint64(1000 - n) }, //nolint:gosec // small
		"the last":     func(int) uint64 { return 1<<64 - 1 },
		"all the same": func(int) uint64 { return 7 },
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			srv := httptest.NewServer(&lrphttp.Server{Frames: o.relay.frames, Wait: func(context.Context, lrp.LinkID, uint64) ([]lrp.Kept, error) {
				asked++
				return []lrp.Kept{{Number: number(asked), At: 1, Frame: f}, {Number: number(asked), At: 1, Frame: f}}, nil
			}})
			defer srv.Close()
			c := o.as(o.boxes[0])
			c.URL = srv.URL
			var given []uint64
			var saved uint64
			err := takeAll(t.Context(), c, 0, func(k lrp.Kept) (bool, error) {
				given = append(given, k.Number)
				return true, nil
			}, func(n uint64) error {
				if n <= saved {
					t.Errorf("%d is noted after %d", n, saved)
				}
				saved = n
				return nil
			})
			if err != nil || asked > lrp.MaxMailBox || len(given) > lrp.MaxMailBox || len(given) == 0 {
				t.Errorf("asked %d times, given %d, %v", asked, len(given), err)
			}
		})
	}
}

// Killed at any instant, the relay has every frame that it has acknowledged, once, and
// no number twice.
func TestRelayMail_Spec17_Killed(t *testing.T) {
	needs.Long(t)
	h, err := newHouse(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h.program = program(t)
	t.Cleanup(func() { _ = h.close() })
	house, car := lrptest.NewParty(t), lrptest.NewParty(t)
	url, err := h.serve("relay", "relay", "serve", "--listen", "127.0.0.1:0", "--mail", filepath.Join(t.TempDir(), "mail"), "--box", house.Addr.String(), "--box", car.Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	at, err := parseMailRelay(url)
	if err != nil {
		t.Fatal(err)
	}
	as := func(p *lrptest.Party) *lrphttp.Client {
		return &lrphttp.Client{URL: at.url, Who: p.Introduction(at.addr), Now: time.Now}
	}
	dice := rand.New(rand.NewPCG(9, 9)) //nolint:gosec // the same each time
	var last uint64
	acked := 0
	for round := range 20 {
		var mine sync.Map // bodies that were acknowledged in this round
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for w := range 3 {
			all.Go(func() {
				c := as(car)
				for n := 0; n < lrp.MaxMailSource/3 && ctx.Err() == nil; n++ {
					body := fmt.Sprintf("%d/%d/%d", round, w, n)
					f := lrp.NewTransaction(house.Addr, car.Addr, time.Now(), lrp.Life).Next(lrp.TypeSLTP, []byte(body))
					if leave(ctx, c, f) == nil {
						mine.Store(body, true)
					}
				}
			})
		}
		time.Sleep(time.Duration(dice.IntN(60)) * time.Millisecond)
		if err := h.kill("relay"); err != nil {
			t.Fatal(err)
		}
		cancel()
		all.Wait()
		if err := h.again("relay"); err != nil {
			t.Fatal(err)
		}
		c := as(house)
		seen := map[string]bool{}
		for {
			kept, err := c.Fetch(t.Context(), last)
			if err != nil {
				t.Fatal(err)
			}
			if len(kept) == 0 {
				break
			}
			for _, k := range kept {
				if body := string(k.Frame.Body); seen[body] || k.Number <= last {
					t.Errorf("round %d: %q comes as number %d, after %d", round, body, k.Number, last)
				} else {
					seen[body], last = true, k.Number
				}
			}
		}
		mine.Range(func(body, _ any) bool {
			if acked++; !seen[body.(string)] { //nolint:forcetypeassert,errcheck // it is one
				t.Errorf("round %d: %v was acknowledged, and is lost", round, body)
			}
			return true
		})
	}
	if acked < 10 {
		t.Errorf("only %d frames were acknowledged: the test kills too soon", acked)
	}
	t.Logf("%d frames were acknowledged", acked)
}

// TestRelayMail_LettersBetweenThoseWhoNeverMeet: a title is moved from the phone to the
// tablet, another one from the house's server to the tablet, and none of the three is
// awake together with another: all letters go by a relay's mailbox. Relay and tablet
// are killed in between.
func TestRelayMail_LettersBetweenThoseWhoNeverMeet(t *testing.T) {
	needs.Long(t)
	d := killHouse(t)
	ctx := t.Context()
	run := func(args ...string) {
		t.Helper()
		if _, err := d.must(ctx, args...); err != nil {
			t.Fatal(err)
		}
	}
	boxes := []string{"relay", "serve", "--listen", "127.0.0.1:0", "--mail", d.path("mail"), "--box", d.paired(t, "tablet").Server.String()}
	for _, name := range []string{"phone", "tablet"} {
		boxes = append(boxes, "--box", d.addressOf(t, name).String())
	}
	relay, err := d.serve("relay", boxes...)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.stop("home"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.serve("home", "home", "serve", "--dir", d.path("home"), "--listen", strings.TrimPrefix(d.homeURL, "http://"), "--ca", d.caURL, "--relay", relay); err != nil {
		t.Fatal(err)
	}
	run(d.grant(d.houseName(t), shared, "PLAY; PLAY_COUNT=5; MOVE=DOMAIN; EXPORT=clearkey; MIN_ANCHOR=0")...)
	d.fetched(t, shared)
	run(d.grant(d.houseName(t), boughtCBCS, "PLAY; PLAY_COUNT=3; MOVE=DOMAIN; EXPORT=clearkey; MIN_ANCHOR=0")...)
	d.fetched(t, boughtCBCS)
	run("device", "move", string(shared), "--here", "--dir", d.path("phone"))
	run("device", "transfers", "--dir", d.path("tablet"))
	rehouse(t, d.path("tablet", "device.json"), d.homeURL, nowhere)
	run("device", "move", string(shared), "--to", "tablet", "--dir", d.path("phone"))
	run("home", "move", string(boughtCBCS), "--to", "tablet", "--dir", d.path("home"))
	for end := time.Now().Add(startGrace); d.waiting(t, relay) < 2; time.Sleep(100 * time.Millisecond) { // the house has been there
		if time.Now().After(end) {
			t.Fatalf("%d letters are in the relay's mailbox, want 2", d.waiting(t, relay))
		}
	}
	if err := d.stop("home"); err != nil {
		t.Fatal(err)
	}
	rehouse(t, d.path("phone", "device.json"), d.homeURL, nowhere)

	carry := func(name string) {
		t.Helper()
		if err := errors.Join(d.kill("relay"), d.again("relay")); err != nil {
			t.Fatal(err)
		}
		run("device", "carry", "--relay", relay, "--dir", d.path(name))
	}
	dice := rand.New(rand.NewPCG(3, 1)) //nolint:gosec // the same each time
	for range 2 {
		d.cutPower(t, dice, "device", "carry", "--relay", relay, "--dir", d.path("tablet"))
		if n := d.usable(t, "tablet") + d.usable(t, "phone"); n > 8 {
			t.Fatalf("%d plays are usable, there are 8", n)
		}
	}
	carry("tablet")
	if got := d.usable(t, "tablet"); got != 8 {
		t.Errorf("the tablet has %d plays, want 5 of the phone's and 3 of the house's", got)
	}
	carry("phone")
	if got := d.heldBy(t, "phone"); len(got) != 0 {
		t.Errorf("the phone still has it: %v", got)
	}
	carry("tablet")
	if got := d.open(t, "phone"); got != 0 {
		t.Errorf("%d transfers are open at the phone", got)
	}
	if err := d.again("home"); err != nil { // the tablet's word about what the house gave waits for it
		t.Fatal(err)
	}
	for end := time.Now().Add(startGrace); len(d.heldAtHome(t, boughtCBCS)) > 0; time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the house still has %v", d.heldAtHome(t, boughtCBCS))
		}
	}
	for end := time.Now().Add(startGrace); d.open(t, "tablet") > 0; time.Sleep(500 * time.Millisecond) {
		run("device", "carry", "--relay", relay, "--dir", d.path("tablet"))
		if time.Now().After(end) {
			t.Fatalf("%d transfers are open at the tablet", d.open(t, "tablet"))
		}
	}
}

// waiting is how many frames are in a relay's mailbox.
func (d *demo) waiting(t *testing.T, relay string) (n int) {
	t.Helper()
	url, _, _ := strings.Cut(relay, "#")
	_, text := answered(t, url+"/metrics")
	if _, rest, ok := strings.Cut(text, "\nlares_relay_mail_frames "); ok {
		_, _ = fmt.Sscan(rest, &n)
	}
	return n
}

// addressOf is the address of a device's secure player.
func (d *demo) addressOf(t *testing.T, name string) ident.Device {
	t.Helper()
	var st struct {
		Device ident.Device `json:"device"`
	}
	if err := d.query(t.Context(), &st, "trem", "status", "--dir", d.path(name, "trem")); err != nil {
		t.Fatal(err)
	}
	return st.Device
}
