package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/authority"
	"github.com/lares-drm/lares/security/revocation"
)

type revokeFlags struct {
	class           uint32
	index           uint32
	device, reason  string
	suspend, resume bool
	minSVN          uint32
}

type revokeAnswer struct {
	What  string `json:"what"`
	Epoch uint64 `json:"epoch"`
}

func newCARevokeCmd(env *Env, dir *string) *cobra.Command {
	var f revokeFlags
	cmd := &cobra.Command{
		Use:   "revoke",
		Short: "Revoke a device or a whole class, and publish that",
		Long: `Revoke one device, or a whole class for good, and publish a new epoch. A class
may also be suspended for the time being, or be told a minimum security version:
its devices must then be certified anew with a patched module.

Licenses that were accepted before keep playing: revocation ends new dealings.`,
		Example: `  lares ca revoke --device 5d2f0c9a7b3e41668f00a1b2c3d4e5f6
  lares ca revoke --class 4097 --index 12
  lares ca revoke --class 4098 --reason key-compromise --json
  lares ca revoke --class 4098 --min-svn 3`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out revokeAnswer
			err := withAuthority(*dir, func(a *authority.Authority) (err error) {
				if out.What, err = f.apply(cmd, a); err != nil {
					return err
				}
				if err := a.Publish(env.Now()); err != nil {
					return err
				}
				out.Epoch = a.State().Epoch().Number
				return nil
			})
			if err != nil {
				return err
			}
			return env.print(cmd, out, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s, as of epoch %d.\n", out.What, out.Epoch)
				return err
			})
		},
	}
	cmd.Flags().Uint32Var(&f.class, "class", 0, "class ID")
	cmd.Flags().Uint32Var(&f.index, "index", 0, "index of one device in its class")
	cmd.Flags().StringVar(&f.device, "device", "", "ID of one device")
	cmd.Flags().StringVar(&f.reason, "reason", "unspecified", strings.Join(revocationReasonNames(), ", "))
	cmd.Flags().BoolVar(&f.suspend, "suspend", false, "suspend the class instead")
	cmd.Flags().BoolVar(&f.resume, "resume", false, "end the class's suspension instead")
	cmd.Flags().Uint32Var(&f.minSVN, "min-svn", 0, "demand this security version of the class instead")
	cmd.MarkFlagsMutuallyExclusive("device", "class")
	cmd.MarkFlagsMutuallyExclusive("suspend", "resume", "min-svn", "index", "device")
	cmd.MarkFlagsOneRequired("device", "class")
	return cmd
}

// apply changes the draft and says what was done.
func (f *revokeFlags) apply(cmd *cobra.Command, a *authority.Authority) (string, error) {
	i := slices.Index(revocationReasonNames(), f.reason)
	if i < 0 {
		return "", usage("--reason is one of %s", strings.Join(revocationReasonNames(), ", "))
	}
	why, class := revocationReasons()[i].reason, pki.Class(f.class)
	var what string
	var err error
	switch {
	case f.device != "":
		var m pki.Member
		if m, err = findDevice(a, f.device); err == nil {
			what, err = fmt.Sprintf("Device %s (%v) is revoked", f.device, m), a.RevokeDevice(m)
		}
	case cmd.Flags().Changed("index"):
		m := pki.Member{Class: class, Index: f.index}
		what, err = fmt.Sprintf("Device %v is revoked", m), a.RevokeDevice(m)
	case f.suspend:
		what, err = fmt.Sprintf("Class %v is suspended", class), a.Suspend(class, why)
	case f.resume:
		what, err = fmt.Sprintf("Class %v is active again", class), a.Resume(class)
	case cmd.Flags().Changed("min-svn"):
		what, err = fmt.Sprintf("Class %v demands security version %d", class, f.minSVN), a.SetMinSVN(class, f.minSVN)
	default:
		what, err = fmt.Sprintf("Class %v is revoked", class), a.RevokeClass(class, why)
	}
	if errors.Is(err, revocation.ErrFinal) {
		return "", refused("%w", err)
	}
	return what, err
}

func findDevice(a *authority.Authority, s string) (pki.Member, error) {
	var id ident.Device
	if err := id.UnmarshalText([]byte(s)); err != nil {
		return pki.Member{}, usage("%q is no device ID: 32 hexadecimal digits", s)
	}
	m, ok, err := a.Find(id)
	if err == nil && !ok {
		err = fmt.Errorf("device %v was not certified here", id)
	}
	return m, err
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

func newCAPublishCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "publish",
		Short: "Sign the revocation state again, with a new epoch and a later next update",
		Long: `Sign the revocation state again. 'lares ca serve' does so by itself when half of
the time to the next update has passed. Signers' certificates that end within
30 days are renewed.`,
		Example: `  lares ca publish
  lares ca publish --dir ./ca --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withAuthority(*dir, func(a *authority.Authority) error {
				if err := a.Publish(env.Now()); err != nil {
					return err
				}
				return showCA(cmd, env, a)
			})
		},
	}
}
