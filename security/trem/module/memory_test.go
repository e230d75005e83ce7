package module_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/security/trem"
)

// hostOrder is what a host in a process of its own plays.
type hostOrder struct {
	Ask      trem.Ask
	Init     string
	Segments []string
	Link     bool // it asks for the session's keys, as a browser's host does
}

// playHost is a host: it plays a film by the module behind descriptor 3. It
// stops in the middle and at the end, and goes on by a line of its input.
func playHost(args []string) error {
	var order hostOrder
	if err := json.Unmarshal([]byte(args[0]), &order); err != nil {
		return err
	}
	conn, err := net.FileConn(os.NewFile(3, "module"))
	if err != nil {
		return err
	}
	c, ctx, wait := trem.NewClient(conn), context.Background(), bufio.NewReader(os.Stdin)
	ses, err := c.Begin(ctx, order.Ask)
	if err != nil {
		return err
	}
	segment, err := os.ReadFile(order.Init)
	if err != nil {
		return err
	}
	n, _, err := c.Track(ctx, ses.Handle, segment)
	if err != nil {
		return err
	}
	var keys []trem.LinkKey
	if order.Link {
		if keys, err = c.LinkKeys(ctx, ses.Handle); err != nil {
			return err
		}
		for _, k := range keys {
			fmt.Printf("%x\n", k.Key)
		}
	}
	for i, name := range order.Segments {
		if segment, err = os.ReadFile(name); err != nil {
			return err
		}
		if _, err = c.Decrypt(ctx, ses.Handle, n, segment); err != nil {
			return err
		}
		if i == 1 || i == len(order.Segments)-1 {
			fmt.Println("look")
			if _, err := wait.ReadString('\n'); err != nil {
				return err
			}
		}
	}
	if len(keys) > 0 && len(keys[0].Key) == 0 { // they are held until here
		return nil
	}
	return c.End(ctx, ses.Handle)
}

// theater is a house whose tablet holds the film, the film's keys, and a host.
type theater struct {
	*house
	s    *stuff
	keys map[string][]byte
}

func newTheater(t *testing.T) *theater {
	t.Helper()
	th := &theater{house: newHouse(t), keys: map[string][]byte{}}
	th.s = th.stock(cenc.SchemeCENC, filmID)
	th.buy(filmID, th.sell(purchase, filmID))
	th.must(th.pair(th.tablet))
	th.get(th.tablet, filmID, 0)
	for tier, key := range th.s.keys {
		raw, err := key.Reveal()
		th.must(err)
		th.keys[tier.String()] = bytes.Clone(raw[:])
	}
	return th
}

// order is a play of the HD track.
func (th *theater) order(t *testing.T, u *user, link bool) hostOrder {
	t.Helper()
	dir := u.folder(t)
	i := slices.IndexFunc(th.s.m.Tracks, func(tr content.TrackFiles) bool { return tr.Tier == content.HD })
	put := func(f content.File) string {
		name := filepath.Join(dir, strings.ReplaceAll(f.Name, "/", "-"))
		th.must(os.WriteFile(name, th.s.read(t, f), 0o644))
		return name
	}
	o := hostOrder{Ask: playAsk(content.HD), Init: put(th.s.m.Tracks[i].Init), Link: link}
	if link {
		o.Ask.Output = trem.OutputLink
	}
	for _, seg := range th.s.m.Tracks[i].Segments[:4] {
		o.Segments = append(o.Segments, put(seg.File))
	}
	return o
}

// watched plays in a host's process and calls look each time it has stopped,
// with the host's process and with what it said before.
func (th *theater) watched(t *testing.T, u *user, b *box, link bool, look func(pid int, said []string)) {
	t.Helper()
	ours, theirs := pair(t)
	b.launch(theirs)
	order, err := json.Marshal(th.order(t, u, link))
	th.must(err)
	cmd := u.command(t, childRole+"=host", childArgs+"="+string(order))
	cmd.ExtraFiles = []*os.File{ours}
	in, err := cmd.StdinPipe()
	th.must(err)
	out, err := cmd.StdoutPipe()
	th.must(err)
	th.must(cmd.Start())
	_ = ours.Close()
	var said []string
	looks := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() != "look" {
			said = append(said, lines.Text())
			continue
		}
		looks++
		look(cmd.Process.Pid, said)
		_, err := in.Write([]byte("\n"))
		th.must(err)
	}
	if err := cmd.Wait(); err != nil || looks != 2 {
		t.Fatalf("the host: %v, %d looks, %v", err, looks, said)
	}
	th.must(<-b.exited)
}

// TestMemory_TheHostHoldsNoContentKey scans the whole memory of a host that
// plays, in the middle and at the end: no title key is there. The session keys of
// a link-encrypted play are, since it was given them, which shows that the scan finds keys.
func TestMemory_TheHostHoldsNoContentKey(t *testing.T) {
	own, _ := users(t)
	for _, link := range []bool{false, true} {
		t.Run(fmt.Sprintf("link %v", link), func(t *testing.T) {
			th := newTheater(t)
			th.tablet.settle(own)
			th.tablet.shut()
			th.watched(t, own, th.tablet, link, func(pid int, said []string) {
				patterns := maps.Clone(th.keys)
				for i, hex := range said {
					var key []byte
					if _, err := fmt.Sscanf(hex, "%x", &key); err != nil {
						t.Fatal(err)
					}
					patterns[fmt.Sprint("session ", i)] = key
				}
				found, _ := scan(t, pid, patterns)
				for name, n := range found {
					if session := strings.HasPrefix(name, "session"); session != (n > 0) {
						t.Errorf("%s key: found %d times in the host's memory", name, n)
					}
				}
				if link != (len(said) > 0) {
					t.Errorf("session keys: %d", len(said))
				}
			})
		})
	}
}

// TestMemory_SecretHoldsAgainstRoot scans the module itself as the
// administrator does, while a film is open: with secret memory no title key is
// found, and without it the same scan finds every one. What the module works
// with for microseconds, a patient administrator finds all the same: see
// docs/threat-model.md.
func TestMemory_SecretHoldsAgainstRoot(t *testing.T) {
	own, _ := users(t)
	for _, without := range []string{"", "secret memory"} {
		t.Run("without "+without, func(t *testing.T) {
			if _, err := unix.MemfdSecret(0); err != nil && without == "" {
				needs.NotRun(t, "this kernel has no memfd_secret: "+err.Error())
			}
			th := newTheater(t)
			cmd := th.tablet.settle(own, without)
			t.Cleanup(func() { _ = th.tablet.Close(); <-th.tablet.exited })
			look := func(when string) {
				t.Helper()
				found, unread := scan(t, cmd.Process.Pid, th.keys)
				t.Logf("%s: %v, %d mappings cannot be read", when, found, unread)
				for name, n := range found {
					if (n > 0) != (without != "") {
						t.Errorf("%s: the %s key is found %d times", when, name, n)
					}
				}
				if (unread > 0) != (without == "") {
					t.Errorf("%s: %d mappings cannot be read", when, unread)
				}
			}
			ctx := t.Context()
			th.must(th.learnTime(th.tablet))
			look("after the start")
			ses, err := th.tablet.Begin(ctx, playAsk(content.HD))
			th.must(err)
			track := &th.s.m.Tracks[slices.IndexFunc(th.s.m.Tracks, func(tr content.TrackFiles) bool { return tr.Tier == content.HD })]
			n, _, err := th.tablet.Track(ctx, ses.Handle, th.s.read(t, track.Init))
			th.must(err)
			for i, seg := range track.Segments {
				_, err := th.tablet.Decrypt(ctx, ses.Handle, n, th.s.read(t, seg.File))
				th.must(err)
				if i%2 == 1 {
					look(fmt.Sprintf("after segment %d", i+1))
				}
			}
			th.must(th.tablet.End(ctx, ses.Handle))
			look("after the play")
		})
	}
}

// TestMemory_AfterADelivery counts what a license leaves in the memory of a
// module that it has just come to, by SLTP. Of one without a state it is
// nothing. One that counts comes by a transfer, whose message is kept until it
// is closed: copies of it are the collector's then.
func TestMemory_AfterADelivery(t *testing.T) {
	own, _ := users(t)
	if _, err := unix.MemfdSecret(0); err != nil {
		needs.NotRun(t, "this kernel has no memfd_secret: "+err.Error())
	}
	for name, tc := range map[string]struct {
		terms string
		plays uint64
		most  int // copies of one key
	}{"purchase": {purchase, 0, 0}, "rental": {rental, 2, 8}} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			s := h.stock(cenc.SchemeCENC, filmID)
			h.buy(filmID, h.sell(tc.terms, filmID))
			h.must(h.pair(h.phone))
			cmd := h.phone.settle(own)
			t.Cleanup(func() { _ = h.phone.Close(); <-h.phone.exited })
			h.must(h.learnTime(h.phone))
			h.get(h.phone, filmID, tc.plays)
			keys := map[string][]byte{}
			for tier, key := range s.keys {
				raw, err := key.Reveal()
				h.must(err)
				keys[tier.String()] = bytes.Clone(raw[:])
			}
			for _, when := range []string{"a delivery", "a play"} {
				found, _ := scan(t, cmd.Process.Pid, keys)
				t.Logf("after %s: %v", when, found)
				for tier, n := range found {
					if n > tc.most {
						t.Errorf("after %s: the %s key is found %d times, at most %d", when, tier, n, tc.most)
					}
				}
				_, err := h.phone.play(s, content.HD, playAsk(content.HD), 0)
				h.must(err)
			}
		})
	}
}
