package cli

import (
	"errors"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/security/pki/authority"
)

func newCARootCmd(env *Env, dir *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "root",
		Short: "Put a new root in the place of the old one, and end the old one",
		Long: `The old root signs the new one; the first-level CAs and the signers are certified
under it for the keys that they have. Who trusts the old root then trusts both,
and parties renew their certificates by themselves, which then end at the new
one. When they have had the time to do so, 'end' revokes the old one.`,
		Example: `  lares ca root rotate
  lares ca root end        # months later`,
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "rotate",
		Short: "Let the old root sign a new one, or put the spare one of the ceremony in its place",
		Long: `Put the next root in the place of the one that signs, and publish. A spare root of
the ceremony was signed there, so the old root's key is not needed; otherwise it
signs now. The keys of the first-level CAs stay.`,
		Example: `  lares ca root rotate
  lares ca root rotate --dir ./ca --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withAuthority(*dir, func(a *authority.Authority) error {
				err := a.RotateRoot(env.Now())
				if _, ok := errors.AsType[*authority.PlaceError](err); !ok && errors.Is(err, fs.ErrNotExist) {
					return refused("%w: bring the root's key file back to rotate, or hold a ceremony with spare_roots next time", err)
				}
				if err != nil {
					return err
				}
				return showCA(cmd, env, a)
			})
		},
	}, &cobra.Command{
		Use:   "end",
		Short: "Revoke the roots before the one that signs",
		Example: `  lares ca root end
  lares ca root end --dir ./ca --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return changeAuthority(cmd, env, *dir, "The roots before the one that signs are revoked", (*authority.Authority).EndRoot)
		},
	})
	return cmd
}
