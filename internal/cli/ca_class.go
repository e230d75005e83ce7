package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/authority"
	"github.com/lares-drm/lares/security/revocation"
)

func newCAClassCmd(env *Env, dir *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "class",
		Short: "Add a device class, or stop a whole class: for the time being, for good, or below a security version",
		Long: `A class is what is revoked as a whole: one for each module implementation and key
generation. Each of these commands publishes a new epoch.

  suspend, resume   for the time being
  raise-svn         a fault in the module: patched devices renew their
                    certificates, the others are refused
  revoke            for good: the keys are lost
  retire            for good: nothing is wrong, the class has ended

Licenses that were accepted before keep playing: revocation ends new dealings.`,
		Example: `  lares ca class add --name "living room player, 2026"
  lares ca class raise-svn 4098 3
  lares ca class revoke 4098 --reason key-compromise --json`,
	}
	cmd.AddCommand(newCAClassAddCmd(env, dir), newCARaiseSVNCmd(env, dir))
	for _, v := range classVerbs() {
		cmd.AddCommand(newCAClassVerbCmd(env, dir, v))
	}
	return cmd
}

type classAnswer struct {
	Class pki.Class `json:"class"`
	Name  string    `json:"name"`
	Epoch uint64    `json:"epoch"`
}

func newCAClassAddCmd(env *Env, dir *string) *cobra.Command {
	var name string
	var levels, anchors []string
	cmd := &cobra.Command{
		Use:   "add",
		Short: "Add a device class with its own CA",
		Long: `Add a device class with its own CA: one per module implementation and key
generation. The CA grants the levels and anchors that are named, and no others;
without any, all that the ceremony allowed.`,
		Example: `  lares ca class add --name "living room player, 2026"
  lares ca class add --name "mini PC with a TPM" --level SL3 --anchor A2
  lares ca class add --dir ./ca --name phone --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out classAnswer
			g, err := grants(levels, anchors)
			if err != nil {
				return err
			}
			err = withAuthority(*dir, func(a *authority.Authority) error {
				class, err := a.AddDeviceClass(name, g, env.Now())
				out = classAnswer{Class: class, Name: name, Epoch: a.State().Epoch().Number}
				return err
			})
			if pki.RuleOf(err) != "" {
				return refused("%w", err)
			}
			if err != nil {
				return err
			}
			return env.print(cmd, out, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "Device class %v. Enroll into it: lares ca voucher --role device --class %v\n", out.Class, out.Class)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "what people call the class (required)")
	cmd.Flags().StringSliceVar(&levels, "level", nil, "levels that the class's CA may grant")
	cmd.Flags().StringSliceVar(&anchors, "anchor", nil, "anchors that the class's CA may grant")
	_ = cmd.MarkFlagRequired("name")
	return cmd
}

// grants reads levels and anchors as flags write them.
func grants(levels, anchors []string) (g authority.Grants, err error) {
	g.Levels, g.Anchors = make([]pki.Level, len(levels)), make([]pki.Anchor, len(anchors))
	for i, l := range levels {
		err = errors.Join(err, g.Levels[i].UnmarshalText([]byte(l)))
	}
	for i, a := range anchors {
		err = errors.Join(err, g.Anchors[i].UnmarshalText([]byte(a)))
	}
	if err != nil {
		return g, usage("%w", err)
	}
	return g, nil
}

// classVerb is what can be done to a whole class.
type classVerb struct {
	name, short, done string
	reason            bool // it has one
	do                func(*authority.Authority, pki.Class, revocation.Reason) error
}

func classVerbs() []classVerb {
	return []classVerb{
		{"suspend", "Refuse a class for the time being", "is suspended", true, (*authority.Authority).Suspend},
		{"resume", "End the suspension of a class", "is active again", false, func(a *authority.Authority, c pki.Class, _ revocation.Reason) error { return a.Resume(c) }},
		{"revoke", "Refuse a class for good, because its keys are lost", "is revoked", true, (*authority.Authority).RevokeClass},
		{"retire", "End a class for good, though nothing is wrong", "is retired", true, (*authority.Authority).Retire},
	}
}

func newCAClassVerbCmd(env *Env, dir *string, v classVerb) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:     v.name + " CLASS",
		Short:   v.short,
		Args:    cobra.ExactArgs(1),
		Example: "  lares ca class " + v.name + " 4098\n  lares ca class " + v.name + " 4098 --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			class, err := parseClass(args[0])
			if err != nil {
				return err
			}
			why := revocation.Unspecified
			if v.reason {
				if why, err = parseReason(reason); err != nil {
					return err
				}
			}
			return changeAuthority(cmd, env, *dir, fmt.Sprintf("Class %v %s", class, v.done), func(a *authority.Authority) error { return v.do(a, class, why) })
		},
	}
	if v.reason {
		cmd.Flags().StringVar(&reason, "reason", "unspecified", strings.Join(revocationReasonNames(), ", "))
	}
	return cmd
}

func newCARaiseSVNCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "raise-svn CLASS SVN",
		Short: "Demand a security version of the members of a class",
		Long: `Demand a security version of the members of a class, because modules below it have
a fault. A module that was patched says its version in its signing request and
renews its certificate with 'lares ca serve'; the others are refused. It never
falls.`,
		Args: cobra.ExactArgs(2),
		Example: `  lares ca class raise-svn 4098 3
  lares ca class raise-svn 4098 3 --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			class, err := parseClass(args[0])
			if err != nil {
				return err
			}
			svn, err := strconv.ParseUint(args[1], 10, 32)
			if err != nil {
				return usage("%q is no security version: a number below 2^32", args[1])
			}
			what := fmt.Sprintf("Class %v demands security version %d", class, svn)
			return changeAuthority(cmd, env, *dir, what, func(a *authority.Authority) error { return a.SetMinSVN(class, uint32(svn)) })
		},
	}
}

func parseClass(s string) (pki.Class, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, usage("%q is no class: a number such as 4098, from 'lares ca show'", s)
	}
	return pki.Class(n), nil
}

func parseReason(s string) (revocation.Reason, error) {
	i := slices.Index(revocationReasonNames(), s)
	if i < 0 {
		return 0, usage("--reason is one of %s", strings.Join(revocationReasonNames(), ", "))
	}
	return revocationReasons()[i].reason, nil
}

type revokeAnswer struct {
	What  string `json:"what"`
	Epoch uint64 `json:"epoch"`
}

// changeAuthority changes the draft, publishes it and says what was done.
func changeAuthority(cmd *cobra.Command, env *Env, dir, what string, do func(*authority.Authority) error) error {
	out := revokeAnswer{What: what}
	err := withAuthority(dir, func(a *authority.Authority) error {
		if err := do(a); err != nil {
			return err
		}
		if err := a.Publish(env.Now()); err != nil {
			return err
		}
		out.Epoch = a.State().Epoch().Number
		return nil
	})
	if errors.Is(err, revocation.ErrFinal) || errors.Is(err, authority.ErrNoClass) || errors.Is(err, authority.ErrCompromise) || errors.Is(err, revocation.ErrNoClass) {
		return refused("%w", err)
	}
	if err != nil {
		return err
	}
	return env.print(cmd, out, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s, as of epoch %d.\n", out.What, out.Epoch)
		return err
	})
}

type namedReason struct {
	name   string
	reason revocation.Reason
}

// revocationReasons are those of RFC 5280 that make sense here.
func revocationReasons() []namedReason {
	return []namedReason{
		{"unspecified", revocation.Unspecified},
		{"key-compromise", revocation.KeyCompromise},
		{"ca-compromise", revocation.CACompromise},
		{"affiliation-changed", revocation.AffiliationChanged},
		{"superseded", revocation.Superseded},
		{"cessation", revocation.Cessation},
		{"hold", revocation.CertificateHold},
		{"privilege-withdrawn", revocation.PrivilegeWithdrawn},
	}
}

func revocationReasonNames() (out []string) {
	for _, r := range revocationReasons() {
		out = append(out, r.name)
	}
	return out
}
