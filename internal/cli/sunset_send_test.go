package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ca "github.com/lares-drm/lares/security/pki/authority"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/authority"
)

// postTest is a running issuer's sender with an authority that a test speaks for.
type postTest struct {
	*sunsetSender
	t      *testing.T
	at     time.Time
	answer func() (ca.Taken, error)
	sent   int
}

func newPostTest(t *testing.T) *postTest {
	p := &postTest{t: t, at: time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)}
	p.start(t.TempDir())
	return p
}

// start is a new process in the folder.
func (p *postTest) start(dir string) {
	p.sunsetSender = &sunsetSender{
		dir: dir, now: func() time.Time { return p.at }, log: slog.New(slog.DiscardHandler),
		prove: func(_ context.Context, o trem.SunsetOrder) (trem.Proof, error) {
			return trem.Proof{Object: fmt.Appendf(nil, "%d: %s", p.at.Unix(), o.Statement)}, nil
		},
		send: func(_ context.Context, in ca.Sending) (ca.Taken, error) {
			p.sent++
			if want := fmt.Sprintf("%d: %s", p.at.Unix(), in.Statement); string(in.Proof) != want {
				p.t.Errorf("the module's word is %q, want %q", in.Proof, want)
			}
			return p.answer()
		},
	}
}

// asks is what a command leaves for the running issuer.
func (p *postTest) asks(statement string) {
	p.t.Helper()
	text := signedFile([]byte(statement), make([]byte, 65), "Asked", statement)
	if err := writeDurably(filepath.Join(p.dir, issuerSunset), text); err != nil {
		p.t.Fatal(err)
	}
}

// looks lets time pass and the issuer look, and says what has become of what was asked.
func (p *postTest) looks(after time.Duration) sunsetAnswer {
	p.t.Helper()
	p.at = p.at.Add(after)
	if err := p.look(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	a, err := readSunsetAnswer(p.dir)
	if err != nil {
		p.t.Fatal(err)
	}
	return a
}

func (p *postTest) want(name string, a sunsetAnswer, state string, sent int) {
	p.t.Helper()
	if a.State != state || p.sent != sent {
		p.t.Errorf("%s: %+v after %d attempts, want %s after %d", name, a, p.sent, state, sent)
	}
}

func takenAs(s ca.SentState, err error) func() (ca.Taken, error) {
	return func() (ca.Taken, error) { return ca.Taken{State: s, Since: time.Unix(1, 0).UTC()}, err }
}

// TestSunset_3_SentUntilAcknowledged: pauses that grow, over restarts; then questions
// by the hour, until the operator has decided.
func TestSunset_3_SentUntilAcknowledged(t *testing.T) {
	p := newPostTest(t)
	p.answer = takenAs(0, fmt.Errorf("%w: no route", authority.ErrAway))
	p.want("nothing to send", p.looks(time.Second), "", 0)
	p.asks("closing")
	p.want("away", p.looks(time.Second), stateSending, 1)
	for n, pause := 1, sunsetFirst; n < 12; n++ {
		was := p.at
		p.want("too early", p.looks(pause-time.Millisecond), stateSending, n)
		a := p.looks(pause/2 + 2*time.Millisecond)
		p.want("again", a, stateSending, n+1)
		if took := p.at.Sub(was); took > sunsetMost*3/2+time.Minute || !strings.Contains(a.Why, "no route") {
			t.Errorf("pause %d: %v, %+v", n, took, a)
		}
		pause = min(2*pause, sunsetMost)
	}
	p.start(p.dir)
	p.answer = takenAs(ca.SentWaits, nil)
	p.want("restarted", p.looks(time.Second), "waits", 13)
	p.want("within the hour", p.looks(59*time.Minute), "waits", 13)
	p.answer = takenAs(0, authority.ErrBusy)
	a := p.looks(32 * time.Minute)
	p.want("it is there, whatever is said of a question", a, "waits", 14)
	if a.Why != "" {
		t.Errorf("%+v", a)
	}
	p.answer = takenAs(ca.SentStands, nil)
	p.want("stands", p.looks(time.Minute), "stands", 15)
	p.want("done", p.looks(100*time.Hour), "stands", 15)
	p.start(p.dir)
	p.want("done, restarted", p.looks(100*time.Hour), "stands", 15)
	p.asks("going on")
	p.answer = takenAs(ca.SentWithdrawn, nil)
	p.want("the next", p.looks(0), "withdrawn", 16)
}

// TestSunset_3_KilledBetweenAnswerAndFile: the authority has it, and the issuer dies
// before it has written so. It sends again, and the authority answers the same.
func TestSunset_3_KilledBetweenAnswerAndFile(t *testing.T) {
	p := newPostTest(t)
	p.asks("closing")
	ctx, cancel := context.WithCancel(t.Context())
	p.answer = func() (ca.Taken, error) { cancel(); return takenAs(ca.SentWaits, nil)() }
	if err := p.look(ctx); !errors.Is(err, context.Canceled) || p.sent != 1 {
		t.Fatalf("%d, %v", p.sent, err)
	}
	if a, err := readSunsetAnswer(p.dir); err != nil || a.State != "" {
		t.Fatalf("%+v, %v", a, err)
	}
	p.start(p.dir)
	p.answer = takenAs(ca.SentWaits, nil)
	p.want("after the restart", p.looks(time.Second), "waits", 2)
}

// TestSunset_3_RefusalsAreFinal: what no later attempt changes is not sent again, until
// somebody asks for it anew.
func TestSunset_3_RefusalsAreFinal(t *testing.T) {
	p := newPostTest(t)
	for i, no := range []error{authority.ErrSunset, authority.ErrMalformed} {
		p.answer = takenAs(0, fmt.Errorf("%w (the operator refused it)", no))
		p.asks(fmt.Sprint("closing ", i))
		a := p.looks(time.Second)
		p.want("refused", a, "refused", i+1)
		if e, ok := errors.AsType[*exitError](a.refusal()); !ok || e.code != statusRefused || !strings.Contains(e.Error(), "operator") {
			t.Errorf("%v", e)
		}
		p.want("not again", p.looks(10*time.Hour), "refused", i+1)
	}
	p.prove = func(context.Context, trem.SunsetOrder) (trem.Proof, error) {
		return trem.Proof{}, &trem.Error{Code: trem.CodeRejected, Text: "of another issuer"}
	}
	p.asks("of another")
	p.want("by the module", p.looks(time.Second), "refused", 2)
	p.prove = func(context.Context, trem.SunsetOrder) (trem.Proof, error) { return trem.Proof{}, errors.New("gone") }
	p.asks("of this one")
	p.want("no module", p.looks(time.Second), stateSending, 2)
}
