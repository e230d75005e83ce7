package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	ca "github.com/lares-drm/lares/security/pki/authority"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/authority"
)

// Files of an issuer's folder by which a command and the running issuer send a notice
// of sunset. Each has one writer, so none is lost between the two: the command what is
// to be sent, the running issuer what has become of it. Source: local, docs/spec/sunset.md.
const (
	issuerSunset       = "sunset-send.pem"
	issuerSunsetAnswer = "sunset-answer.json"
)

// When the running issuer sends. Source: local, docs/spec/sunset.md.
const (
	sunsetLook  = time.Second     // between two looks whether something is to be sent
	sunsetFirst = 5 * time.Second // after the first failure; twice as long after each
	sunsetMost  = time.Hour       // at most; and between two questions about what waits
	sunsetWait  = 10 * time.Second
)

// stateSending is the state of what the authority has not acknowledged yet; the others
// are those of authority.SentState.
const stateSending = "sending"

// unread stands for the digest of a file that the running issuer cannot read.
const unread = "unread"

// sunsetAnswer is what has become of what is to be sent.
type sunsetAnswer struct {
	Request string    `json:"request"` // SHA-256 of the file that asks for it, hexadecimal
	State   string    `json:"state"`
	Since   time.Time `json:"since,omitzero"`
	Why     string    `json:"why,omitempty"` // it is not there yet, or was refused
}

// last reports whether nothing more is to be sent or asked.
func (a *sunsetAnswer) last() bool {
	return a.State == ca.SentRefused.String() || a.State == ca.SentWithdrawn.String() || a.State == ca.SentStands.String()
}

// of is the answer as it is about a file of that digest.
func (a sunsetAnswer) of(what string) sunsetAnswer {
	switch a.Request {
	case what:
		return a
	case unread:
		return sunsetAnswer{Request: what, State: stateSending, Why: a.Why}
	}
	return sunsetAnswer{Request: what, State: stateSending}
}

func readSunsetAnswer(dir string) (a sunsetAnswer, err error) {
	data, err := os.ReadFile(filepath.Join(dir, issuerSunsetAnswer))
	if errors.Is(err, fs.ErrNotExist) {
		return a, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &a)
	}
	return a, err
}

// sunsetSender sends the issuer's notice, or withdrawal, until the authority has it,
// and asks then from time to time what has become of a notice that waits.
type sunsetSender struct {
	dir   string
	prove func(context.Context, trem.SunsetOrder) (trem.Proof, error)
	send  func(context.Context, ca.Sending) (ca.Taken, error)
	now   func() time.Time
	log   *slog.Logger

	what string        // SHA-256 of the file that asks for it, hexadecimal
	next time.Time     // when it is sent again
	wait time.Duration // after the next failure
}

func (s *issuerServer) sunsets() *sunsetSender {
	return &sunsetSender{dir: s.flags.dir, prove: s.module.SendSunset, send: authorityOf(s.cfg.CA).SendSunset, now: time.Now, log: s.log}
}

// run looks until ctx ends.
func (s *sunsetSender) run(ctx context.Context) {
	tick := time.NewTicker(sunsetLook)
	defer tick.Stop()
	for {
		if err := s.look(ctx); err != nil && ctx.Err() == nil {
			s.log.LogAttrs(ctx, slog.LevelError, "word of sunset not sent", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look sends what is to be sent now. Its error is that of the folder, or of ctx.
func (s *sunsetSender) look(ctx context.Context) error {
	name := filepath.Join(s.dir, issuerSunset)
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	what := digest(text)
	if err != nil {
		what = unread
	}
	if s.what == what && s.now().Before(s.next) {
		return nil
	}
	if what != s.what {
		s.what, s.next, s.wait = what, time.Time{}, sunsetFirst
	}
	if err != nil {
		return s.stuck(sunsetAnswer{Request: unread, State: stateSending, Since: s.since(), Why: "the running issuer cannot read the file: " + err.Error()}, err)
	}
	have, err := readSunsetAnswer(s.dir)
	if err != nil { // damaged: the authority answers the same again
		s.log.LogAttrs(ctx, slog.LevelWarn, "answer of the authority not read", slog.Any("error", err))
	}
	if have.Request == s.what && have.last() {
		s.next = s.now().Add(sunsetMost)
		return nil
	}
	data, point, err := parseSigned(name, text)
	if err != nil {
		return s.stuck(sunsetAnswer{Request: s.what, State: ca.SentRefused.String(), Since: s.since(), Why: err.Error()}, err)
	}
	return s.once(ctx, data, point, have)
}

func (s *sunsetSender) since() time.Time { return s.now().UTC().Truncate(time.Second) }

// stuck writes that what is asked for cannot be sent, until the file is another one or
// can be read, which is seen at once. It is said again after sunsetMost.
func (s *sunsetSender) stuck(a sunsetAnswer, why error) error {
	s.next = s.now().Add(sunsetMost)
	return errors.Join(why, s.write(a))
}

func (s *sunsetSender) write(a sunsetAnswer) error {
	text, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return err
	}
	return writeDurably(filepath.Join(s.dir, issuerSunsetAnswer), append(text, '\n'))
}

// once sends it once, and makes durable what has become of it.
func (s *sunsetSender) once(ctx context.Context, data, point []byte, have sunsetAnswer) error {
	taken, err := s.give(ctx, data, point)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if have.Request != s.what {
		have = sunsetAnswer{Request: s.what, State: stateSending, Since: s.since()}
	}
	out, pause := have, sunsetMost
	said, _ := errors.AsType[*trem.Error](err)
	switch {
	case err == nil:
		out.State, out.Since, out.Why = taken.State.String(), taken.Since, ""
		s.wait = sunsetFirst
	case errors.Is(err, authority.ErrSunset), errors.Is(err, authority.ErrMalformed), said != nil && said.Code == trem.CodeRejected:
		out.State, out.Why = ca.SentRefused.String(), err.Error()
	default:
		pause, s.wait = s.wait, min(2*s.wait, sunsetMost)
		if out.State == stateSending { // else it is there, and only what has become of it is not known
			out.Why = err.Error()
		}
	}
	s.next = s.now().Add(pause + rand.N(pause/2+1))
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "word of sunset not taken by the authority", slog.Any("error", err))
	} else if have.State != out.State {
		s.log.LogAttrs(ctx, slog.LevelInfo, "word of sunset taken by the authority", slog.String("state", out.State))
	}
	return s.write(out)
}

// give sends it, with a new word of the module: an old one does not count.
func (s *sunsetSender) give(ctx context.Context, data, point []byte) (ca.Taken, error) {
	word, err := s.prove(ctx, trem.SunsetOrder{Statement: data, Key: point})
	if err != nil {
		return ca.Taken{}, err
	}
	return s.send(ctx, ca.Sending{Statement: data, Key: point, Chain: word.Chain, Proof: word.Object})
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// sunsetWay is how a notice or withdrawal gets to the authority.
type sunsetWay struct {
	out     string
	send    bool
	replace bool // a withdrawal that was not sent yet
}

func (w *sunsetWay) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&w.out, "out", "", "file to write, for the authority's operator")
	cmd.Flags().BoolVar(&w.send, "send", false, "have the running issuer send it to its authority")
	cmd.Flags().BoolVar(&w.replace, "replace", false, "with --send: in the place of a withdrawal that has not reached the authority")
}

func (w *sunsetWay) check() error {
	if w.out == "" && !w.send {
		return usage("say how the authority gets it: --send, or --out FILE for its operator")
	}
	return nil
}

// give writes a signed statement to where it is sent from, and prints what follows.
func (w *sunsetWay) give(cmd *cobra.Command, env *Env, dir string, v announced, data, point []byte) error {
	v.File = w.out
	if w.out != "" {
		if err := writeSigned(w.out, data, point); err != nil {
			return err
		}
	}
	if w.send {
		asks := signedFile(data, point, "Asked", env.Now().UTC().Format(time.RFC3339Nano)) // each time it is asked for it is sent anew
		if err := writeDurably(filepath.Join(dir, issuerSunset), asks); err != nil {
			return err
		}
		got, err := waitForSunset(cmd.Context(), dir, digest(asks))
		if err != nil {
			return err
		}
		v.Sent = &got
	}
	if err := env.print(cmd, v, func(out io.Writer) error {
		p := printer{w: out}
		v.says(&p)
		return p.err
	}); err != nil {
		return err
	}
	return v.Sent.refusal()
}

// waitForSunset waits a little for the running issuer to have sent it.
func waitForSunset(ctx context.Context, dir, what string) (sunsetAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, sunsetWait)
	defer cancel()
	tick := time.NewTicker(sunsetLook / 10)
	defer tick.Stop()
	for {
		a, err := readSunsetAnswer(dir)
		if err != nil || a.Request == what || a.Request == unread {
			return a.of(what), err
		}
		_, stopped := os.Stat(filepath.Join(dir, urlFile))
		select {
		case <-ctx.Done():
		case <-tick.C:
			if stopped == nil {
				continue
			}
		}
		return sunsetAnswer{Request: what, State: stateSending}, nil
	}
}

// says tells in words what was signed and what happens next.
func (v *announced) says(p *printer) {
	ends := !v.Effective.IsZero()
	switch {
	case v.File == "":
	case ends:
		p.line("%s says that the service of %v ends on %s. Give it to the authority: lares ca sunset stand %s", v.File, v.Issuer, v.Effective.Format("2 Jan 2006"), v.File)
	default:
		p.line("%s takes the notice %s back. Give it to the authority: lares ca sunset withdraw --issuer %v %s", v.File, v.Notice[:ca.NoticeDigits], v.Issuer, v.File)
	}
	if v.Sent == nil {
		return
	}
	switch v.Sent.State {
	case stateSending:
		if v.Sent.Why != "" {
			p.line("The authority does not have it yet: %s.", strings.TrimSuffix(v.Sent.Why, "."))
		}
		p.line("It is sent as soon as lares issuer serve runs and reaches the authority; nothing else is to be done. See: lares issuer sunset show")
	case ca.SentWaits.String():
		p.line("The authority has it since %s. It waits for the authority's operator, and counts only when he lets it stand: call him and read him the day, the titles and the key %s; the notice is %s there", v.Sent.Since.Format(time.RFC3339), v.Key, v.Notice[:ca.NoticeDigits])
	case ca.SentStands.String():
		p.line("It stands since %s.", v.Sent.Since.Format(time.RFC3339))
	case ca.SentWithdrawn.String():
		p.line("The authority has taken the notice back on %s: the service goes on.", v.Sent.Since.Format(time.RFC3339))
		if ends {
			p.line("It was withdrawn by a file. To announce this day again: lares issuer sunset withdraw --of %s --send, then the notice once more; or announce another day.", v.Notice[:ca.NoticeDigits])
		}
	}
}

// refusal is the error of a statement that the authority refuses.
func (a *sunsetAnswer) refusal() error {
	if a == nil || a.State != ca.SentRefused.String() {
		return nil
	}
	return refused("the authority refuses it: %s", a.Why)
}

func newSunsetShowCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show what has become of the notice, or withdrawal, that was sent last",
		Long: `Show what has become of the notice, or withdrawal, that was sent last.

Exit status 3 when the authority refuses it.`,
		Example: `  lares issuer sunset show
  lares issuer sunset show --dir ./shop --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := readIssuer(*dir)
			if err != nil {
				return err
			}
			name := filepath.Join(*dir, issuerSunset)
			text, err := os.ReadFile(name)
			if errors.Is(err, fs.ErrNotExist) {
				return errors.New("this issuer has sent no notice: lares issuer sunset notice --send")
			}
			if err != nil {
				return err
			}
			data, point, err := parseSigned(name, text)
			if err != nil {
				return err
			}
			s, err := license.ParseStatement(data)
			if err != nil {
				return err
			}
			v := announced{Issuer: cfg.Issuer, Key: hex.EncodeToString(point), Notice: hex.EncodeToString(s.Of[:])}
			if s.Notice != nil {
				v.Effective, v.Scope = time.UnixMilli(s.Notice.Effective).UTC(), s.Notice.Scope
			}
			a, err := readSunsetAnswer(*dir)
			if err != nil {
				return err
			}
			a = a.of(digest(text))
			v.Sent = &a
			if err := env.print(cmd, v, func(w io.Writer) error {
				p := printer{w: w}
				if s.Notice != nil {
					p.line("notice: the service ends on %s, for %s", v.Effective.Format("2 Jan 2006"), titlesOf(v.Scope))
				} else {
					p.line("withdrawal of the notice %s", v.Notice)
				}
				v.says(&p)
				return p.err
			}); err != nil {
				return err
			}
			return a.refusal()
		},
	}
}

// titlesOf says which titles a notice is about.
func titlesOf(scope []ident.Content) string {
	if len(scope) == 0 {
		return "all titles"
	}
	names := make([]string, len(scope))
	for i, c := range scope {
		names[i] = c.String()
	}
	return strings.Join(names, ", ")
}
