package scenario

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
)

func reserve(r *run, out *outcome, _ *ask, in *instance, x license.Input) error {
	s := in.lic.Reserve(x)
	out.in, out.decision, out.vec = in, &s.Decision, r.vecInput("reserve", in, &x)
	in.take(&s)
	return nil
}

// readSettle is commit, or release.
func readSettle(commit bool) func([]string) (action, error) {
	return func(words []string) (action, error) {
		names, words, err := pairs(words, "with")
		if err != nil {
			return nil, err
		}
		if len(words) != 1 {
			return nil, fmt.Errorf("want COPY, TRANSFER or RENDER behind it")
		}
		p, err := parseAction(words[0])
		if err != nil {
			return nil, err
		}
		return func(r *run, out *outcome) error {
			in, err := r.instance(names["with"])
			if err != nil {
				return err
			}
			do := "release"
			var next license.State
			if commit {
				do = "commit"
				next, out.err = in.mem.Commit(p, r.now)
			} else {
				next, out.err = in.mem.Release(p)
			}
			out.in, out.vec = in, r.vec(do, in)
			out.vec.Action, out.vec.Now = p.String(), r.at()
			in.may(next, out.err)
			return nil
		}, nil
	}
}

// may keeps a state where there is no error.
func (in *instance) may(s license.State, err error) {
	if err == nil {
		in.keep(s)
	}
}

func (r *run) at() *int64 {
	now := r.now
	return &now
}

func shareOptions(o opts, s *license.Share) {
	o.number("plays", &s.Plays)
	o.span("ms", &s.MS)
	o.number("copies", &s.Copies)
}

// readGive is give, or take-back.
func readGive(give bool) func([]string) (action, error) {
	return func(words []string) (action, error) {
		names, words, err := pairs(words, "with")
		if err != nil {
			return nil, err
		}
		var share license.Share
		o := opts{}
		shareOptions(o, &share)
		if err := o.read(words); err != nil {
			return nil, err
		}
		return func(r *run, out *outcome) error {
			in, err := r.instance(names["with"])
			if err != nil {
				return err
			}
			do := "take_back"
			var next license.State
			if give {
				do = "give"
				next, out.err = in.lic.Give(in.mem, share)
			} else {
				next, out.err = in.mem.TakeBack(share)
			}
			out.in, out.vec = in, r.vec(do, in)
			out.vec.Share = &vShare{share.Plays, share.MS, share.Copies}
			in.may(next, out.err)
			return nil
		}, nil
	}
}

func deny(r *run, out *outcome, in *instance) error {
	in.keep(in.mem.Deny(r.now))
	out.in, out.vec = in, r.vec("deny", in)
	out.vec.Now = r.at()
	return nil
}

// readRenew: another license of the story takes the instance over.
func readRenew(words []string) (action, error) {
	names, words, err := pairs(words, "with", "by")
	if err != nil || len(words) > 0 || names["by"] == "" {
		return nil, fmt.Errorf("want the name of the new license behind by, such as renew by film2")
	}
	return func(r *run, out *outcome) error {
		old, err := r.instance(names["with"])
		if err != nil {
			return err
		}
		in, err := r.instance(names["by"])
		if err != nil {
			return err
		}
		var next license.State
		next, out.err = in.lic.Continue(old.lic, old.mem)
		out.in, out.vec = in, r.vec("continue", in)
		out.vec.Old = old.name
		if out.err == nil {
			in.keep(next)
			if in.ses = old.ses; in.ses != nil {
				use, on := in.lic.Carry(old.lic, in.ses.Session)
				if in.ses.Session = use; !on {
					in.ses = nil
				}
			}
			r.current, old.ses = in.name, nil
		}
		return nil
	}, nil
}

// deriving is what derive asks for.
type deriving struct {
	of, as  string
	kind    license.DerivedKind
	device  ident.Device
	subject license.Subject
	share   license.Share
	index   *uint64
	dur     int64
	system  string
	holds   []string
}

func readDerive(words []string) (action, error) {
	names, words, err := pairs(words, "with", "as")
	if err != nil {
		return nil, err
	}
	d := &deriving{of: names["with"], as: names["as"]}
	var ok bool
	if len(words) > 0 {
		d.kind, ok = derivedKind(words[0])
	}
	if !ok || d.kind == license.KindRebind {
		return nil, fmt.Errorf("want copy, loan, allowance or export behind it")
	}
	d.device, _ = deviceID("here")
	o := opts{}
	shareOptions(o, &d.share)
	o.add("device", func(v string) (err error) {
		d.device, err = deviceID(v)
		return err
	})
	o.add("subject", func(v string) (err error) {
		kind, id, _ := strings.Cut(v, ":")
		d.subject, err = subjectOf(kind, id, 1)
		return err
	})
	o.maybeNumber("index", &d.index)
	o.span("for", &d.dur)
	o.text("system", &d.system)
	o.add("holds", func(v string) error {
		d.holds = strings.Split(v, "+")
		return nil
	})
	return d.run, o.read(words[1:])
}

func (d *deriving) run(r *run, out *outcome) error {
	in, err := r.instance(d.of)
	if err != nil {
		return err
	}
	x := license.Derivation{
		Kind: d.kind, Device: d.device, Subject: d.subject, Plays: d.share.Plays, MS: d.share.MS, Copies: d.share.Copies, For: d.dur,
		Index: in.mem.NextIndex, Now: r.now, State: in.mem,
	}
	if d.index != nil {
		x.Index = *d.index
	}
	out.in, out.vec = in, r.vec("derive", in)
	out.vec.As = &d.as
	out.vec.Derive = &vDerive{
		uint64(d.kind), hexID(d.device), "", vShare{d.share.Plays, d.share.MS, d.share.Copies}, x.Index, r.now, d.dur, d.system, orEmpty(d.holds),
	}
	if d.subject.Kind != 0 {
		b, err := d.subject.MarshalCBOR()
		if err != nil {
			return err
		}
		out.vec.Derive.Subject = hex.EncodeToString(b)
	}
	var info *license.Info
	if d.kind == license.KindExport {
		info, out.lost, out.err = license.Relay(in.lic, x, license.Target{System: d.system, Holds: d.holds})
		lost := orEmpty(out.lost)
		out.vec.Expect.Lost = &lost
	} else {
		info, out.err = license.Derive(in.lic, x)
	}
	return d.adopt(r, info, out)
}

// adopt signs what was derived and makes it a license of the story.
func (d *deriving) adopt(r *run, info *license.Info, out *outcome) error {
	child := ""
	if out.err == nil {
		var err error
		if out.child, err = sign(info); err != nil {
			return err
		}
		child = hex.EncodeToString(out.child.Bytes())
	}
	out.vec.Expect.Child = &child
	if out.child == nil || d.as == "" {
		return nil
	}
	if _, err := r.instance(d.as); err == nil {
		return fmt.Errorf("there is a license %q already", d.as)
	}
	if len(r.inst) >= 4*maxLicenses {
		return fmt.Errorf("more than %d licenses", 4*maxLicenses)
	}
	r.inst = append(r.inst, &instance{name: d.as, lic: out.child})
	return nil
}
