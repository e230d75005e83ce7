package module_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// fault is what goes wrong with one command of a flow.
type fault int

const (
	never    fault = iota
	before         // the module dies before it: it never happened, and the letter is lost
	torn1          // power fails when a quarter of what it writes is written
	torn2          // half of it
	torn3          // three quarters of it
	unheard        // it happened, the module dies, and nobody heard the answer
	blackout       // it happened, all modules die, and all that was on its way is lost
	twice          // it is given twice
	late           // its letter comes after everything else
)

var faultNames = [...]string{"never", "before", "torn at 1/4", "torn at 1/2", "torn at 3/4", "unheard", "blackout", "twice", "late"}

func (f fault) String() string { return faultNames[f] }

// flow is a hand-over of which one command meets a fault. Commands count from 0.
type flow struct {
	*house
	fault  fault
	at     int // the command that meets it
	count  int // commands so far
	dead   bool
	letter []trem.Letter // that come after everything else
	sltp   []parcel
	silent uint64 // loans that ended by proven time, their borrowers said nothing
	check  func() // what holds at every moment
}

// parcel is a message of a session that comes after everything else.
type parcel struct {
	to *box
	m  trem.SLTPMessage
}

func (x *flow) boxes() []*box {
	out := []*box{x.home, x.tablet, x.phone}
	if x.aunt != nil {
		out = append(out, x.aunt)
	}
	return out
}

// again restarts a module, as a kill between two commands does, and brings its
// clock up to date.
func (x *flow) again(b *box) {
	x.t.Helper()
	b.restart()
	x.learn(b)
}

// do gives a module one command. It reports whether its answer was heard.
func (x *flow) do(b *box, run func() error) bool {
	x.t.Helper()
	defer x.check()
	n := x.count
	x.count++
	if n != x.at || x.fault == never || x.fault == late {
		x.must(run())
		return true
	}
	switch x.fault {
	case before:
		x.again(b)
	case torn1, torn2, torn3:
		x.torn(b, run)
	case unheard:
		x.must(run())
		x.again(b)
	case blackout:
		x.must(run())
		x.dead = true
		for _, b := range x.boxes() {
			x.again(b)
		}
	case twice:
		x.must(run())
		_ = run() // what came of the first may refuse the second
		return true
	default:
	}
	return false
}

// torn runs a command and then takes away a part of what it wrote.
func (x *flow) torn(b *box, run func() error) {
	x.t.Helper()
	name, size := b.log()
	x.must(run())
	x.must(b.Close())
	if err := <-b.exited; err != nil {
		x.t.Fatal(err)
	}
	if now, grown := b.log(); now == name && grown > size {
		x.must(os.Truncate(name, size+(grown-size)*int64(x.fault-torn1+1)/4))
	}
	b.start()
	x.learn(b)
}

// log is the file that a module's vault appends to, and its size.
func (b *box) log() (name string, size int64) {
	b.t.Helper()
	names, err := filepath.Glob(filepath.Join(b.dir, "vault", "*.seg"))
	if err != nil || len(names) == 0 {
		b.t.Fatalf("no vault in %s: %v", b.dir, err)
	}
	name = slices.Max(names)
	info, err := os.Stat(name)
	if err != nil {
		b.t.Fatal(err)
	}
	return name, info.Size()
}

// order gives a module a command of its owner, who says it again when no answer
// came. What it led to may refuse the repetition.
func (x *flow) order(b *box, run func() (trem.Handed, error)) {
	x.t.Helper()
	var got trem.Handed
	heard := x.do(b, func() error {
		h, err := run()
		got.Letters = append(got.Letters, h.Letters...)
		return err
	})
	if !heard {
		got, _ = run()
		x.check()
	}
	x.mail(got.Letters)
}

// mail carries letters, and what they lead to.
func (x *flow) mail(letters []trem.Letter) {
	x.t.Helper()
	for x.dead = false; len(letters) > 0 && !x.dead; letters = letters[1:] {
		l := letters[0]
		if x.count == x.at && x.fault == late {
			x.letter = append(x.letter, l)
			x.count++
			continue
		}
		b := x.boxOf(l.To)
		var out []trem.Letter
		if x.do(b, func() error {
			got, err := x.post(b, l.Bytes)
			out = append(out, got.Letters...)
			return err
		}) {
			letters = append(letters, out...)
		}
	}
}

// post gives a letter to a module, which asks for time and revocation state
// when it knows less than the writer.
func (h *house) post(b *box, letter []byte) (trem.Handed, error) {
	got, err := b.Post(context.Background(), letter)
	var later *trem.Error
	if errors.As(err, &later) && later.Code == trem.CodeState {
		h.learn(b)
		return b.Post(context.Background(), letter)
	}
	return got, err
}

// rest exchanges letters without faults until nothing waits but what may: loans
// that are out, and the same ones at their borrowers.
func (x *flow) rest() {
	x.t.Helper()
	for range 8 {
		for _, b := range x.boxes() {
			got, err := b.Letters(context.Background())
			x.must(err)
			x.silent += ends(got.Events)
			x.check()
			for queue := got.Letters; len(queue) > 0; queue = queue[1:] {
				out, err := x.post(x.boxOf(queue[0].To), queue[0].Bytes)
				x.must(err)
				x.check()
				queue = append(queue, out.Letters...)
			}
		}
		if len(x.unrest()) == 0 {
			return
		}
	}
	x.t.Fatalf("it does not end: %v", x.unrest())
}

// ends counts the loans that Letters has ended.
func ends(events []trem.Event) (n uint64) {
	for _, e := range events {
		if e.Kind == trem.EventLoanOver {
			n++
		}
	}
	return n
}

// unrest is what is not closed, loans that both sides know apart.
func (x *flow) unrest() (out []trem.Transfer) {
	x.t.Helper()
	ends := map[ident.Transfer]int64{}
	for _, b := range x.boxes() {
		list, err := b.Transfers(context.Background())
		x.must(err)
		for _, t := range list {
			switch {
			case t.Stage != trem.StageLent && t.Stage != trem.StageBorrowed:
				out = append(out, t)
			case ends[t.ID] == t.Until:
				delete(ends, t.ID)
			case ends[t.ID] != 0: // the renewal has not come
				out = append(out, t)
			default:
				ends[t.ID] = t.Until
			}
		}
	}
	for tid := range ends {
		out = append(out, trem.Transfer{ID: tid, Stage: trem.StageLent})
	}
	return out
}

// straggle delivers what was late, and lets all come to rest.
func (x *flow) straggle() {
	x.t.Helper()
	x.rest()
	for _, l := range x.letter {
		out, err := x.post(x.boxOf(l.To), l.Bytes)
		x.must(err)
		x.check()
		x.house.mail(out.Letters)
		x.check()
	}
	for _, p := range x.sltp {
		_, err := p.to.Receive(context.Background(), p.m)
		x.must(err)
		x.check()
	}
	x.letter, x.sltp = nil, nil
	x.rest()
}

// fetch drives a session in which a module asks its house, as often as it takes.
func (x *flow) fetch(b *box, req trem.LicenseRequest) (events []trem.Event) {
	x.t.Helper()
	ctx := context.Background()
	req.Peer, req.Request = x.home.id, ident.NewRequest()
	for range 8 {
		o, err := b.Open(ctx, req)
		x.must(err)
		if events = x.session(b, o.Messages); slices.ContainsFunc(events, func(e trem.Event) bool {
			return e.Kind == trem.EventInstalled || e.Kind == trem.EventClosed || e.Kind == trem.EventRefused
		}) {
			break
		}
	}
	for range 8 {
		o, err := b.Resend(ctx, x.home.id)
		x.must(err)
		if len(o.Messages) == 0 {
			return events
		}
		x.session(b, o.Messages)
	}
	x.t.Fatal("the house does not close it")
	return nil
}

func (x *flow) session(b *box, queue []trem.SLTPMessage) (events []trem.Event) {
	x.t.Helper()
	x.dead = false
	for to, back := x.home, []trem.SLTPMessage(nil); len(queue) > 0; to, queue, back = x.other(to, b), back, nil {
		for _, m := range queue {
			if x.count == x.at && x.fault == late {
				x.sltp = append(x.sltp, parcel{to, m})
				x.count++
				continue
			}
			heard := x.do(to, func() error {
				got, err := to.Receive(context.Background(), m)
				back = append(back, got.Messages...)
				if to == b {
					events = append(events, got.Events...)
				}
				return err
			})
			if !heard {
				return nil
			}
		}
	}
	return events
}

func (x *flow) other(to, b *box) *box {
	if to == b {
		return x.home
	}
	return b
}

// allowed counts the modules that would play now.
func (x *flow) allowed() (out []*box) {
	x.t.Helper()
	for _, b := range x.boxes() {
		d, err := b.Evaluate(context.Background(), playAsk(content.HD))
		x.must(err)
		if d.Allow {
			out = append(out, b)
		}
	}
	return out
}

// atMostOnce fails when two modules would play what is one license.
func (x *flow) atMostOnce() {
	x.t.Helper()
	if all := x.allowed(); len(all) > 1 {
		x.t.Fatalf("%d modules play at once", len(all))
	}
}

// only fails unless b, and no other module, plays.
func (x *flow) only(b *box) {
	x.t.Helper()
	if all := x.allowed(); len(all) != 1 || all[0] != b {
		x.t.Fatalf("%d modules play, want the one", len(all))
	}
}

// everyFault runs a flow with each fault at each of its commands, one after
// the other in one house.
func everyFault(t *testing.T, h *house, check func(*flow), run func(*flow)) {
	t.Helper()
	commands, cases := one(t, h, never, -1, check, run), 1
	for at := range commands {
		cases += faultsAt(t, h, at, check, run)
	}
	t.Logf("%d commands, %d cases", commands, cases)
	if commands < 3 {
		t.Errorf("a flow of %d commands tests nothing", commands)
	}
}

// faultsAt runs a flow with each fault at one of its commands, and says how many it ran.
func faultsAt(t *testing.T, h *house, at int, check func(*flow), run func(*flow)) (cases int) {
	t.Helper()
	for f := before; f <= late; f++ {
		if needs.Part(at + int(f)) {
			one(t, h, f, at, check, run)
			cases++
		}
	}
	return cases
}

// one runs a flow with a fault and returns how many commands it had.
func one(t *testing.T, h *house, f fault, at int, check func(*flow), run func(*flow)) int {
	t.Helper()
	x := &flow{house: h, fault: f, at: at}
	x.check = func() { check(x) }
	defer func() {
		if t.Failed() {
			t.Logf("fault %v at command %d", f, at)
		}
	}()
	run(x)
	return x.count
}
