package cli

import (
	"errors"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/security/pki/authority"
)

func newCASignerCmd(env *Env, dir *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "signer",
		Short: "Put a new signer of revocation states in the place of one whose key is lost or stolen",
		Long: `Each revocation state is signed by the state signer. When its key is lost or
stolen, the root names another one; the states of that one count above all states of
the one before, whatever numbers they have.`,
		Example: `  lares ca signer change`,
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "change",
		Short: "Make a new state signer, have the root name it, and publish",
		Long: `Make a new state signer, have the root name it, revoke the old one, and publish. The
old key is not needed; the root's is. Who takes the new state believes the old signer
no more. Until a party has the new state, it believes the old one.`,
		Example: `  lares ca signer change
  lares ca signer change --dir ./ca --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withAuthority(*dir, func(a *authority.Authority) error {
				err := a.ChangeSigner(env.Now())
				if _, ok := errors.AsType[*authority.PlaceError](err); !ok && errors.Is(err, fs.ErrNotExist) {
					return refused("%w: bring the root's key file back to change the signer", err)
				}
				if err != nil {
					return err
				}
				return showCA(cmd, env, a)
			})
		},
	})
	return cmd
}
