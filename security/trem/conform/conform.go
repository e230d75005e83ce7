package conform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/trembench"
)

// Config says which module is judged.
type Config struct {
	Dial func(ctx context.Context) (io.ReadWriteCloser, error) // required: a new stream to the module; those before it have ended
	Dir  string                                                // required: an empty folder, or none yet, for the judge's house
	Now  func() time.Time                                      // required: the clock of the judge
}

// Check is one thing that a module must do.
type Check struct {
	Name string // what holds, as a sentence
	run  func(ctx context.Context, s *subject) error
	opt  bool // without it the module is still one, and what it says instead is a note
	gate bool // what comes after it needs it
}

// Result is what became of a check.
type Result struct {
	Name string
	Err  error  // nil: it holds
	Note string // of a check that holds: that the module does without
}

// ErrNotReached is the result of checks that need one that does not hold.
var ErrNotReached = errors.New("not reached: an earlier check that it needs does not hold")

// patience is how long a module may take for one check, each of which is some
// commands. Source: local.
const patience = 30 * time.Second

// Checks are all checks, in the order in which they are made.
func Checks() []Check {
	var all []Check
	for _, part := range [][]Check{streamChecks(), freshChecks(), enrollChecks(), learnChecks(), houseChecks(), playChecks(), linkChecks(), countChecks()} {
		all = append(all, part...)
	}
	return all
}

// Run judges a module, and reports each check as it ends. Its error is that
// there was nobody to judge: the judge's house or the module's stream failed.
func Run(ctx context.Context, cfg Config, report func(Result)) (err error) {
	if cfg.Dial == nil || cfg.Dir == "" || cfg.Now == nil {
		return errors.New("conform: Dial, Dir and Now are required")
	}
	start := cfg.Now()
	host, err := trembench.House{Dir: cfg.Dir, Now: cfg.Now, Off: true, CPU: func() (time.Duration, error) { return cfg.Now().Sub(start), nil }}.Host(ctx)
	if err != nil {
		return fmt.Errorf("open the judge's house: %w", err)
	}
	s := &subject{dial: cfg.Dial, host: host}
	defer func() { err = errors.Join(err, s.close(), host.Close()) }()
	if err := s.connect(ctx); err != nil {
		return err
	}
	reached := true
	for _, c := range Checks() {
		r := Result{Name: c.Name, Err: ErrNotReached}
		if reached {
			r.Note, r.Err = c.judge(ctx, s)
		}
		reached = reached && (r.Err == nil || !c.gate)
		report(r)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// judge makes one check. A module that broke the stream gets a new one.
func (c *Check) judge(ctx context.Context, s *subject) (note string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	hung := context.AfterFunc(ctx, func() { _ = s.conn.Close() }) // ends a read that waits
	err = c.run(ctx, s)
	if !hung() {
		err = errors.Join(err, fmt.Errorf("the module does not answer within %v", patience))
	}
	if without, ok := errors.AsType[*without](err); ok && c.opt {
		return without.text, nil
	}
	if err != nil && (errors.Is(err, trem.ErrStream) || ctx.Err() != nil) {
		err = errors.Join(err, s.connect(context.WithoutCancel(ctx)))
	}
	return "", err
}

// without is what a module says that does not have what is optional.
type without struct{ text string }

func (w *without) Error() string { return w.text }
