package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/authority"
)

func newCARevokeCmd(env *Env, dir *string) *cobra.Command {
	var class, index uint32
	var device, issuer string
	var since uint64
	cmd := &cobra.Command{
		Use:   "revoke",
		Short: "Revoke one device or other party, and publish that",
		Long: `Revoke one party and publish a new epoch: by its device ID, with every certificate
that it was given, or by one of its places in its class, with the others too.
'lares ca class' does it to a whole class.

Licenses that were accepted before keep playing: revocation ends new dealings.

Where others had the key of a license issuer, say since which epoch
(--compromised-since; 'lares ca show' has the newest). Licenses that were accepted
before it stand, and go on to other devices; those that were accepted at it or
later do not play any more. The epoch can be set to an earlier one by the same
command, never to a later one.`,
		Example: `  lares ca revoke --device 5d2f0c9a7b3e41668f00a1b2c3d4e5f6
  lares ca revoke --class 4097 --index 12 --json
  lares ca revoke --class 2 --index 0 --issuer shop.example --compromised-since 1200`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all := revokeAll
			if issuer != "" {
				all = func(a *authority.Authority, places []pki.Member, err error) error {
					return errors.Join(err, a.Compromise(ident.Issuer(issuer), places, since))
				}
			}
			if device == "" {
				m := pki.Member{Class: pki.Class(class), Index: index}
				return changeAuthority(cmd, env, *dir, fmt.Sprintf("Party %v is revoked", m), func(a *authority.Authority) error {
					places, err := a.Places(m)
					return all(a, places, err)
				})
			}
			var id ident.Device
			if err := id.UnmarshalText([]byte(device)); err != nil {
				return usage("%q is no device ID: 32 hexadecimal digits", device)
			}
			return changeAuthority(cmd, env, *dir, fmt.Sprintf("Device %v is revoked", id), func(a *authority.Authority) error {
				places, err := a.Find(id)
				if err == nil && len(places) == 0 {
					err = fmt.Errorf("device %v was not certified here", id)
				}
				return all(a, places, err)
			})
		},
	}
	cmd.Flags().Uint32Var(&class, "class", 0, "class ID of the party")
	cmd.Flags().Uint32Var(&index, "index", 0, "index of the party in its class")
	cmd.Flags().StringVar(&device, "device", "", "ID of a device")
	cmd.Flags().StringVar(&issuer, "issuer", "", "issuer ID of a license issuer whose key others had")
	cmd.Flags().Uint64Var(&since, "compromised-since", 0, "epoch since which others had the key")
	cmd.MarkFlagsRequiredTogether("issuer", "compromised-since")
	cmd.MarkFlagsMutuallyExclusive("device", "class")
	cmd.MarkFlagsMutuallyExclusive("device", "index")
	cmd.MarkFlagsRequiredTogether("class", "index")
	cmd.MarkFlagsOneRequired("device", "class")
	return cmd
}

// revokeAll revokes every place that a party has: it gets a new one with each renewal.
func revokeAll(a *authority.Authority, places []pki.Member, err error) error {
	for _, m := range places {
		if err == nil {
			err = a.RevokeDevice(m)
		}
	}
	return err
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
