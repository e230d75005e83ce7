package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/authority"
)

func newCACmd(env *Env) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "The certification authority: who is certified, what is revoked, what time it is",
		Long: `Run the authority of a trust domain: a root, CAs for content providers, license
issuers, home servers and devices, the signer of revocation states and the
signer of time. Everything is in one folder, keys included unless the ceremony
puts them into a token or a TPM: whoever reads it is the authority. The commands may be used while 'lares ca serve' runs.`,
	}
	cmd.PersistentFlags().StringVar(&dir, "dir", defaultDir("ca"), "the authority's folder")
	cmd.AddCommand(
		newCACeremonyCmd(env, &dir), newCAServeCmd(env, &dir), newCAVoucherCmd(env, &dir), newCAIssueCmd(env, &dir), newCABulkCmd(env, &dir),
		newCAClassCmd(env, &dir), newCARevokeCmd(env, &dir), newCATimeResetCmd(env, &dir), newCAPublishCmd(env, &dir), newCACRLCmd(env, &dir), newCARootCmd(env, &dir), newCASignerCmd(env, &dir), newCAShowCmd(env, &dir), newCASunsetCmd(env, &dir), newCASimulateCmd(env),
	)
	return cmd
}

// withAuthority runs one command on the authority of a folder, alone among all
// processes.
func withAuthority(dir string, do func(*authority.Authority) error) (err error) {
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return noCeremony(dir)
	}
	var keys caKeys
	defer func() { err = errors.Join(err, keys.close()) }()
	store, err := keys.folder(dir)
	if err != nil {
		return err
	}
	unlock, err := store.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	a, err := authority.Open(store)
	if errors.Is(err, authority.ErrAbsent) {
		return noCeremony(dir)
	}
	if err != nil {
		return err
	}
	err = do(a)
	if errors.Is(err, authority.ErrTooSoon) {
		return later("%w", err)
	}
	return placeRefusal(err)
}

func noCeremony(dir string) error {
	return fmt.Errorf("there is no authority in %s yet: lares ca ceremony --dir %s", dir, dir)
}

func newCACeremonyCmd(env *Env, dir *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ceremony [FILE]",
		Short: "Make a trust domain: roots, CAs, signers, the first revocation state",
		Long: `Make a trust domain from one reviewed FILE (- is standard input; without one, the
defaults), a JSON object of which every key may be left out:

  name               of the trust domain                        "Lares"
  manufacturer       of the devices                             the domain's name
  first_class        the manufacturer's range of class IDs      4096
  last_class                                                    first_class + 4095
  spare_roots        roots that follow when a root's key is     0, at most 2
                     lost: 'lares ca root rotate'
  device_class       name of the first device class             "software TREM"
  levels, anchors    what CAs may grant                         ["SL1"], ["A0"]
  home_server_days   validity of certificates                   366, at most 731
  provider_days                                                 366, at most 731
  issuer_days                                                   90, at most 90
  signer_days                                                   366, at most 366
  next_update_hours  between two revocation states              24
  keys               tokens and TPMs that keep the keys         files of the folder

keys names places, and which use of keys has which; docs/spec/ceremony.md has an
example. A PIN is read from a file that nobody else can read:

  {"keys": {"places": {"safe": {"keystore": "pkcs11", "token": "roots",
      "module": "/usr/lib/opensc-pkcs11.so", "pin_file": "/root/pin"},
                       "board": {"keystore": "tpm", "tpm": "/dev/tpmrm0"}},
    "root": "safe", "first_level": "board", "device_class": "board"}}

CAs and devices do not expire: revocation ends them.`,
		Example: `  lares ca ceremony
  lares ca ceremony ceremony.json --dir ./ca
  echo '{"name": "Oak Street", "levels": ["SL1", "SL3"]}' | lares ca ceremony - --dir ./ca --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := ceremonyFile(env, strings.Join(args, ""))
			if err != nil {
				return err
			}
			return holdCeremony(cmd, env, *dir, cfg)
		},
	}
	return cmd
}

func holdCeremony(cmd *cobra.Command, env *Env, dir string, cfg authority.Config) (err error) {
	folder, err := authority.NewOSDir(dir)
	if err != nil {
		return err
	}
	unlock, err := folder.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	var keys caKeys
	defer func() { err = errors.Join(err, keys.close()) }()
	a, err := authority.Ceremony(keys.ceremony(folder, cfg.Keys), cfg, env.Now())
	if err != nil {
		return placeRefusal(err)
	}
	return showCA(cmd, env, a)
}

func ceremonyFile(env *Env, name string) (authority.Config, error) {
	var data []byte
	var err error
	switch name {
	case "":
		data = []byte("{}")
	case "-":
		data, err = io.ReadAll(io.LimitReader(env.Stdin, 1<<16))
	default:
		data, err = os.ReadFile(name)
	}
	if err != nil {
		return authority.Config{}, fmt.Errorf("read the ceremony: %w", err)
	}
	return authority.ParseConfig(data)
}

// parseRole reads a role as people and flags write it.
func parseRole(s string) (pki.Role, error) {
	var r pki.Role
	if err := r.UnmarshalText([]byte(strings.ReplaceAll(s, "-", " "))); err != nil {
		return 0, usage("%q is no role: device, home-server, license-issuer or content-provider", s)
	}
	return r, nil
}

type voucherAnswer struct {
	Voucher string     `json:"voucher"`
	Role    pki.Role   `json:"role"`
	Class   pki.Class  `json:"class,omitempty"`
	Issuer  string     `json:"issuer,omitempty"`
	Level   pki.Level  `json:"level"`
	Anchor  pki.Anchor `json:"anchor"`
	Expires time.Time  `json:"expires"`
}

func newCAVoucherCmd(env *Env, dir *string) *cobra.Command {
	var role, issuer, level, anchor string
	var class uint32
	var hours int
	cmd := &cobra.Command{
		Use:   "voucher",
		Short: "Make a code with which one party can enroll over the network, once",
		Long: `Make a code with which one party can enroll over the network, once.

With --level and --anchor you answer for more than software: you have looked at
the machine and seen that its keys are made in a token or a TPM. The certificate
says the lower of that and what the party says of itself. The request proves
neither.`,
		Example: `  lares ca voucher --role device
  lares ca voucher --role device --class 4098 --hours 1
  lares ca voucher --role home-server --level SL3 --anchor A2   # a machine with a TPM, which you know
  lares ca voucher --role license-issuer --issuer shop.example --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := parseRole(role)
			if err != nil {
				return err
			}
			if hours < 1 {
				return usage("--hours is at least 1")
			}
			v := authority.Voucher{Role: r, Class: pki.Class(class), Issuer: ident.Issuer(issuer), Expires: env.Now().Add(time.Duration(hours) * time.Hour)}
			if err := errors.Join(v.Level.UnmarshalText([]byte(level)), v.Anchor.UnmarshalText([]byte(anchor))); err != nil {
				return usage("%w", err)
			}
			var code string
			err = withAuthority(*dir, func(a *authority.Authority) error {
				code, err = a.NewVoucher(v, env.Now())
				return err
			})
			if errors.Is(err, authority.ErrRequest) || pki.RuleOf(err) != "" {
				return refused("%w", err)
			}
			if err != nil {
				return err
			}
			out := voucherAnswer{Voucher: code, Role: r, Class: v.Class, Issuer: issuer, Level: v.Level, Anchor: v.Anchor, Expires: v.Expires.UTC().Truncate(time.Second)}
			return env.print(cmd, out, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s\nFor one %s of at most %v and %v, until %s.\n", code, r, v.Level, v.Anchor, out.Expires.Format(time.RFC1123))
				return err
			})
		},
	}
	cmd.Flags().StringVar(&role, "role", "device", "device, home-server, license-issuer or content-provider")
	cmd.Flags().Uint32Var(&class, "class", 0, "class of the device; 0 means the first active one")
	cmd.Flags().StringVar(&issuer, "issuer", "", "issuer ID of a license issuer")
	cmd.Flags().StringVar(&level, "level", "SL1", "the highest level you answer for: SL1 software, SL2 token, SL3 TPM or secure element")
	cmd.Flags().StringVar(&anchor, "anchor", "A0", "the highest anchor you answer for: A0 none, A1 household witnesses, A2 non-volatile counter")
	cmd.Flags().IntVar(&hours, "hours", 7*24, "how long the code can be used")
	return cmd
}
