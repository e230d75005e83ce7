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

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/internal/secret"
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
	th := &theater{house: newHouse(t)}
	th.s = th.stock(cenc.SchemeCENC, filmID)
	th.buy(filmID, th.sell(purchase, filmID))
	th.must(th.pair(th.tablet))
	th.get(th.tablet, filmID, 0)
	th.keys = th.s.raw(t)
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
	th.must(b.wait())
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
// with for a moment, a patient administrator finds all the same: see
// docs/threat-model.md.
func TestMemory_SecretHoldsAgainstRoot(t *testing.T) {
	own, _ := users(t)
	t.Run("with secret memory", func(t *testing.T) {
		wantsSecretMemory(t)
		clean(t, func() residue { return watchedByRoot(t, own) })
	})
	t.Run("without", func(t *testing.T) {
		for when, found := range watchedByRoot(t, own, "secret memory") {
			for key, n := range found {
				if n == 0 {
					t.Errorf("%s: the %s key is not found, so the scan sees nothing", when, key)
				}
			}
		}
	})
}

// TestMemory_AfterADelivery scans a module to which a license has just come, by
// SLTP, with a state and without: what the protocol decrypted is overwritten.
func TestMemory_AfterADelivery(t *testing.T) {
	own, _ := users(t)
	wantsSecretMemory(t)
	t.Run("purchase", func(t *testing.T) {
		clean(t, func() residue { return delivered(t, own, purchase, 0) })
	})
	t.Run("rental", func(t *testing.T) {
		clean(t, func() residue { return delivered(t, own, rental, 2) })
	})
}

func wantsSecretMemory(t *testing.T) {
	t.Helper()
	a, err := secret.New()
	if err != nil {
		needs.NotRun(t, err.Error())
	}
	defer a.Close()
	if kind, why := a.Kind(); kind != secret.Secret {
		needs.NotRun(t, why.Error())
	}
}

// residue is how often each key was found, by when it was looked for.
type residue map[string]map[string]int

func (r residue) sum() (n int) {
	for _, found := range r {
		for _, m := range found {
			n += m
		}
	}
	return n
}

// clean wants a module's memory without keys. A copy that the module leaves is
// there each time. What a signal saved from a register, or what is on a stack, is
// there once in some twenty runs, and is reported: one clean run of four is wanted.
func clean(t *testing.T, run func() residue) {
	t.Helper()
	var left residue
	for range 4 {
		if left = run(); left.sum() == 0 {
			return
		}
		t.Logf("keys in memory that can be read: %v", left)
	}
	t.Errorf("title keys stay in memory that can be read: %v", left)
}

// watchedByRoot scans a module's memory before, while and after it plays.
func watchedByRoot(t *testing.T, own *user, without ...string) residue {
	t.Helper()
	th, out := newTheater(t), residue{}
	cmd := th.tablet.settle(own, without...)
	defer func() { _ = th.tablet.Close(); _ = th.tablet.wait() }()
	look := func(when string) {
		var unread int
		if out[when], unread = scan(t, cmd.Process.Pid, th.keys); (unread > 0) != (len(without) == 0) {
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
		if i%6 == 1 {
			look(fmt.Sprintf("after segment %d", i+1))
		}
	}
	th.must(th.tablet.End(ctx, ses.Handle))
	look("after the play")
	return out
}

// delivered scans a module's memory after a delivery, a play and a restart.
func delivered(t *testing.T, own *user, terms string, plays uint64) residue {
	t.Helper()
	h, out := newHouse(t), residue{}
	s := h.stock(cenc.SchemeCENC, filmID)
	h.buy(filmID, h.sell(terms, filmID))
	h.must(h.pair(h.phone))
	cmd := h.phone.settle(own)
	defer func() { _ = h.phone.Close(); _ = h.phone.wait() }()
	h.must(h.learnTime(h.phone))
	h.get(h.phone, filmID, plays)
	keys := s.raw(t)
	out["after a delivery"], _ = scan(t, cmd.Process.Pid, keys)
	_, err := h.phone.play(s, content.HD, playAsk(content.HD), 0)
	h.must(err)
	out["after a play"], _ = scan(t, cmd.Process.Pid, keys)
	h.phone.shut()
	cmd = h.phone.spawn()
	h.must(h.learnTime(h.phone))
	out["after a restart"], _ = scan(t, cmd.Process.Pid, keys)
	return out
}

// raw gives the film's keys, which only this test knows.
func (s *stuff) raw(t *testing.T) map[string][]byte {
	t.Helper()
	keys := map[string][]byte{}
	for tier, key := range s.keys {
		raw, err := key.Reveal()
		if err != nil {
			t.Fatal(err)
		}
		keys[tier.String()] = bytes.Clone(raw[:])
	}
	return keys
}
