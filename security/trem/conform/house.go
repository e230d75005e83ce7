package conform

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/trembench"
)

// learnChecks are of the revocation state and of time.
func learnChecks() []Check {
	return []Check{
		{Name: "a time token that is changed, or for no nonce of its own, is REJECTED", run: checkBadTime},
		{Name: "a changed revocation state is REJECTED", run: checkBadHead},
		{Name: "LEARN sets the clock and the epoch, and an older state has no effect", run: checkLearn, gate: true},
	}
}

func (s *subject) learned(ctx context.Context) (trem.Learned, error) {
	nonce, err := s.Nonce(ctx)
	if err != nil {
		return trem.Learned{}, err
	}
	return s.host.Learned(nonce)
}

func checkBadTime(ctx context.Context, s *subject) error {
	first, err := s.learned(ctx)
	if err != nil {
		return err
	}
	second, err := s.learned(ctx) // replaces the first nonce
	if err != nil {
		return err
	}
	for what, l := range map[string]trem.Learned{
		"for a nonce that was replaced": {Time: first.Time, TimeChain: first.TimeChain},
		"changed":                       {Time: flipped(second.Time), TimeChain: second.TimeChain},
		"of the state signer":           {Time: second.Time, TimeChain: second.HeadChain},
	} {
		if err := wantCode(what, s.Learn(ctx, l), trem.CodeRejected); err != nil {
			return err
		}
	}
	good := trem.Learned{Time: second.Time, TimeChain: second.TimeChain}
	return errors.Join(s.Learn(ctx, good), wantCode("a second time", s.Learn(ctx, good), trem.CodeRejected))
}

func checkBadHead(ctx context.Context, s *subject) error {
	l, err := s.learned(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for what, l := range map[string]trem.Learned{
		"changed":            {Head: flipped(l.Head), HeadChain: l.HeadChain, Snapshot: l.Snapshot},
		"another snapshot":   {Head: l.Head, HeadChain: l.HeadChain, Snapshot: flipped(l.Snapshot)},
		"no snapshot":        {Head: l.Head, HeadChain: l.HeadChain},
		"of the time signer": {Head: l.Head, HeadChain: l.TimeChain, Snapshot: l.Snapshot},
		"bytes":              {Head: []byte{1, 2, 3}, HeadChain: l.HeadChain, Snapshot: l.Snapshot},
	} {
		errs = append(errs, wantCode(what, s.Learn(ctx, l), trem.CodeRejected))
	}
	st, err := s.Status(ctx)
	if err == nil && st.Epoch != 0 {
		err = fmt.Errorf("after that it knows epoch %d", st.Epoch)
	}
	return errors.Join(append(errs, err)...)
}

func checkLearn(ctx context.Context, s *subject) error {
	for range 2 {
		l, err := s.learned(ctx)
		if err != nil {
			return err
		}
		if err := s.Learn(ctx, l); err != nil {
			return err
		}
	}
	st, err := s.Status(ctx)
	if err == nil && (st.Epoch != 1 || st.Clock.Quality != license.Secure.String()) {
		err = fmt.Errorf("epoch %d, clock %s; want 1 and %s", st.Epoch, st.Clock.Quality, license.Secure)
	}
	return err
}

// houseChecks make it a member, and give it licenses.
func houseChecks() []Check {
	return []Check{
		{Name: "commands of other roles are STATE", run: checkRoles},
		{Name: "a changed membership is REJECTED", run: checkBadJoin},
		{Name: "JOIN makes it a member", run: checkJoin, gate: true},
		{Name: "bytes that are no message of SLTP change nothing", run: checkGarbage},
		{Name: "without a license a use is refused, as a value with its reasons", run: checkNoGrant},
		{Name: "a license comes by SLTP, and is listed", run: checkDelivery, gate: true},
	}
}

func checkRoles(_ context.Context, s *subject) error {
	var errs []error
	for what, x := range map[string]struct {
		cmd  trem.Command
		body any
	}{
		"FOUND": {trem.CmdFound, trem.None{}}, "ADMIT": {trem.CmdAdmit, trem.Candidate{}}, "KEYS": {trem.CmdKeys, []byte{1}},
	} {
		payload, err := s.order(x.cmd, x.body, nil)
		errs = append(errs, wantNothing(what, payload, err, trem.CodeState))
	}
	return errors.Join(errs...)
}

func (s *subject) admission(ctx context.Context) (trem.Admission, error) {
	st, err := s.Status(ctx)
	if err != nil {
		return trem.Admission{}, err
	}
	return s.host.Admit(ctx, st)
}

func checkBadJoin(ctx context.Context, s *subject) error {
	a, err := s.admission(ctx)
	if err != nil {
		return err
	}
	st, err := s.Status(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for what, bad := range map[string]trem.Admission{
		"changed":          {Membership: flipped(a.Membership), Manager: a.Manager},
		"of another":       {Membership: a.Membership, Manager: st.Chain},
		"without a chain":  {Membership: a.Membership},
		"no membership":    {Manager: a.Manager},
		"cut":              {Membership: a.Membership[:len(a.Membership)-1], Manager: a.Manager},
		"with bytes after": {Membership: append(slices.Clone(a.Membership), 0), Manager: a.Manager},
	} {
		errs = append(errs, wantCode(what, s.Join(ctx, bad), trem.CodeRejected))
	}
	return errors.Join(errs...)
}

func checkJoin(ctx context.Context, s *subject) error {
	a, err := s.admission(ctx)
	if err != nil {
		return err
	}
	if err := s.Join(ctx, a); err != nil {
		return err
	}
	st, err := s.Status(ctx)
	if err == nil && (st.Domain == ident.Domain{} || st.Generation == 0) {
		err = errors.New("STATUS names no domain")
	}
	return err
}

func checkGarbage(ctx context.Context, s *subject) error {
	for _, m := range []trem.SLTPMessage{{Bytes: []byte{1, 2, 3}}, {CID: []byte{0x37}, Bytes: []byte{0x83, 0, 2}}, {Bytes: make([]byte, 4096)}, {}} {
		got, err := s.Receive(ctx, m)
		if err != nil {
			return fmt.Errorf("RECEIVE of %d bytes: %w; want events", len(m.Bytes), err)
		}
		if slices.ContainsFunc(got.Events, func(e trem.Event) bool { return e.Kind == trem.EventInstalled || e.Kind == trem.EventRequest }) {
			return fmt.Errorf("RECEIVE of %d bytes led to %+v", len(m.Bytes), got.Events)
		}
	}
	held, err := s.Licenses(ctx)
	if err == nil && len(held) > 0 {
		err = fmt.Errorf("LICENSES: %d", len(held))
	}
	return err
}

func checkNoGrant(ctx context.Context, s *subject) error {
	ask := trembench.Watch()
	d, err := s.Evaluate(ctx, ask)
	if err != nil {
		return fmt.Errorf("EVALUATE: %w; want a decision", err)
	}
	if d.Allow || !d.Has(license.NoGrant) {
		return fmt.Errorf("EVALUATE: allowed %v, for reasons %+v; want %s", d.Allow, d.Reasons, license.NoGrant)
	}
	_, err = s.Begin(ctx, ask)
	return wantRefusal("BEGIN", err, license.NoGrant)
}

// wantRefusal holds an answer to a refusal for a reason, in the form of one.
func wantRefusal(what string, err error, code license.Code) error {
	r, ok := errors.AsType[*trem.RefusalError](err)
	switch {
	case !ok && err == nil:
		return fmt.Errorf("%s: it is allowed; want a refusal (%s)", what, code)
	case !ok:
		return fmt.Errorf("%s: %w; want a refusal (%s)", what, err, code)
	case r.Decision.Allow:
		return fmt.Errorf("%s: a refusal whose decision allows", what)
	case !r.Decision.Has(code):
		return fmt.Errorf("%s: reasons %+v; want %s", what, r.Decision.Reasons, code)
	case r.Decision.Action != permission.Play:
		return fmt.Errorf("%s: the refusal is of action %v", what, r.Decision.Action)
	}
	for _, reason := range r.Decision.Reasons {
		if reason.Code == code && (!reason.Closed || reason.Remedy == "") {
			return fmt.Errorf("%s: %s refuses and names a remedy: %+v", what, code, reason)
		}
	}
	return nil
}

func (s *subject) deliver(ctx context.Context, id ident.Content) error {
	st, err := s.Status(ctx)
	if err != nil {
		return err
	}
	_, err = s.host.Deliver(ctx, s.Client, st, id)
	return err
}

func checkDelivery(ctx context.Context, s *subject) error {
	if err := s.deliver(ctx, trembench.Film); err != nil {
		return err
	}
	held, err := s.Licenses(ctx)
	switch {
	case err != nil:
		return err
	case len(held) != 1 || held[0].Content != trembench.Film || held[0].Phase != license.Held.String():
		return fmt.Errorf("LICENSES: %+v", held)
	case held[0].Hash == [32]byte{} || len(held[0].Bytes) == 0 || held[0].Terms == "":
		return errors.New("LICENSES: a license without hash, bytes or terms")
	}
	return nil
}
