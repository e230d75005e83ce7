package cli

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/internal/issuerapi"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/authority"
)

// Files of an issuer's folder. Source: local, docs/spec/issuer-store.md.
const (
	issuerFile      = "issuer.json"
	issuerTREM      = "trem"
	issuerDatabase  = "issuer.db"
	issuerDelivery  = "delivery.der" // what `lares pack --to` seals content keys to
	issuerToken     = "admin.token"  // 0600: whoever reads it is the operator
	issuerTokenHash = "admin.token.sha256"
)

// issuerConfig is issuer.json: nothing in it is secret.
type issuerConfig struct {
	Name   string       `json:"name"`
	Issuer ident.Issuer `json:"issuer"`
	Device ident.Device `json:"device"`
	CA     string       `json:"ca"`
}

func newIssuerCmd(env *Env) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "issuer",
		Short: "A shop or library: register titles, grant them to households, serve licenses",
	}
	cmd.PersistentFlags().StringVar(&dir, "dir", defaultDir("issuer"), "the issuer's folder")
	cmd.AddCommand(
		newIssuerInitCmd(env, &dir), newIssuerServeCmd(env, &dir), newIssuerShowCmd(env, &dir), newIssuerContentCmd(env, &dir),
		newIssuerOfferCmd(env, &dir), newIssuerClaimCmd(env, &dir), newIssuerCopiesCmd(env, &dir), newIssuerHoldsCmd(env, &dir),
		newIssuerGrantCmd(env, &dir), newIssuerGrantsCmd(env, &dir), newIssuerRevokeCmd(env, &dir),
		newIssuerLicensesCmd(env, &dir), newIssuerRenewCmd(env, &dir), newIssuerDBCmd(env, &dir), newIssuerSunsetCmd(env, &dir), newIssuerReplaceCmd(env, &dir),
		newIssuerKeyCmd(env, &dir), newIssuerAuditCmd(env, &dir), newIssuerDomainCmd(env, &dir),
	)
	return cmd
}

func newIssuerInitCmd(env *Env, dir *string) *cobra.Command {
	var cfg issuerConfig
	var voucher string
	var storage storageFlags
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make the issuer's input TREM and get its certificates",
		Long: `Make the keys of the issuer's trusted module, get its certificates from the
certification authority, and make the operator's token.

The folder then holds delivery.der, the certificate that content keys are
sealed to: give it to whoever packs titles (lares pack --to delivery.der).`,
		Example: `  lares issuer init --ca http://ca.example:7700 --voucher 3F9K-22QX --name "The shop"
  lares issuer init --dir ./shop --ca http://127.0.0.1:7700 --voucher 3F9K-22QX --name Shop --json
  lares issuer init --ca http://ca.example:7700 --voucher 3F9K-22QX --name Shop --keystore tpm   # keys in the machine's TPM`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := os.Stat(filepath.Join(*dir, issuerFile)); err == nil {
				return fmt.Errorf("%s holds an issuer already", *dir)
			}
			if err := storage.prepare(filepath.Join(*dir, issuerTREM)); err != nil {
				return err
			}
			if err := initIssuer(cmd.Context(), *dir, &cfg, voucher); err != nil {
				return err
			}
			return env.print(cmd, cfg, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "Issuer %v has module %v.\nPack titles for it with: lares pack --to %s\nThen: lares issuer serve --dir %s\n",
					cfg.Issuer, cfg.Device, filepath.Join(*dir, issuerDelivery), *dir)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&cfg.CA, "ca", "", "URL of the certification authority (required)")
	cmd.Flags().StringVar(&voucher, "voucher", "", "enrollment voucher of a license issuer (required)")
	cmd.Flags().StringVar(&cfg.Name, "name", "", "what households read (required)")
	storage.add(cmd)
	for _, name := range []string{"ca", "voucher", "name"} {
		_ = cmd.MarkFlagRequired(name)
	}
	return cmd
}

func initIssuer(ctx context.Context, dir string, cfg *issuerConfig, voucher string) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	module, stop, err := startTREM(filepath.Join(dir, issuerTREM))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	e, err := enrollIssuer(ctx, module, voucher, cfg)
	if err != nil {
		return err
	}
	if err := learn(ctx, module, nil, cfg.CA); err != nil {
		return authorityError(err)
	}
	if err := makeToken(dir); err != nil {
		return err
	}
	if err := writeDurably(filepath.Join(dir, issuerDelivery), e.Delivery); err != nil {
		return err
	}
	data, err := json.MarshalIndent(cfg, "", "  ")
	if err != nil {
		return err
	}
	return writeDurably(filepath.Join(dir, issuerFile), append(data, '\n'))
}

// enrollIssuer gets the module's certificates, which say which issuer it is.
func enrollIssuer(ctx context.Context, module *trem.Client, voucher string, cfg *issuerConfig) (trem.Enrollment, error) {
	req, err := module.SigningRequest(ctx)
	if err != nil {
		return trem.Enrollment{}, err
	}
	e, err := authorityOf(cfg.CA).Enroll(ctx, authority.Request{
		Role: pki.LicenseIssuer, Signing: req.Signing, Delivery: req.Delivery, Voucher: voucher, Level: pki.Level(req.Level), Anchor: pki.Anchor(req.Anchor),
	})
	if err != nil {
		return e, authorityError(err)
	}
	if err := module.Enroll(ctx, e); err != nil {
		return e, fmt.Errorf("store the certificate: %w", err)
	}
	st, err := module.Status(ctx)
	if err == nil && st.Issuer == "" {
		err = errors.New("the authority's certificate is not a license issuer's")
	}
	cfg.Issuer, cfg.Device = st.Issuer, st.Device
	return e, err
}

// authorityError gives an authority's answer this program's exit status.
func authorityError(err error) error {
	switch {
	case errors.Is(err, authority.ErrAway), errors.Is(err, authority.ErrBusy):
		return later("%w", err)
	case errors.Is(err, authority.ErrVoucher), errors.Is(err, authority.ErrRefused):
		return refused("%w", err)
	}
	return err
}

// makeToken makes the operator's token, unless there is one. The server reads
// the hash only.
func makeToken(dir string) error {
	name := filepath.Join(dir, issuerToken)
	if _, err := os.Stat(name); err == nil {
		return nil
	}
	var b [32]byte
	rand.Read(b[:]) // never returns an error
	token := hex.EncodeToString(b[:])
	sum := sha256.Sum256([]byte(token))
	if err := writeDurably(filepath.Join(dir, issuerTokenHash), []byte(hex.EncodeToString(sum[:])+"\n")); err != nil {
		return err
	}
	return writeDurably(name, []byte(token+"\n"))
}

// writeDurably replaces a file of mode 0600 as a whole, on disk when it returns.
func writeDurably(name string, data []byte) error {
	tmp := name + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.Rename(tmp, name); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// secretFile reads a file that must be its owner's alone, or a credential that
// systemd gave this service: its folder is closed to others, and the files in it
// have an ACL that reads like a mode for the group.
func secretFile(name string) (string, error) {
	info, err := os.Stat(name)
	if err != nil {
		return "", err
	}
	given := os.Getenv("CREDENTIALS_DIRECTORY")
	if info.Mode().Perm()&0o077 != 0 && (given == "" || filepath.Dir(name) != filepath.Clean(given)) {
		return "", fmt.Errorf("%s can be read by others (mode %04o): chmod 600 %s", name, info.Mode().Perm(), name)
	}
	data, err := os.ReadFile(name)
	return strings.TrimSpace(string(data)), err
}

func readIssuer(dir string) (cfg issuerConfig, err error) {
	data, err := os.ReadFile(filepath.Join(dir, issuerFile))
	if errors.Is(err, os.ErrNotExist) {
		return cfg, fmt.Errorf("%s holds no issuer yet: lares issuer init --dir %s", dir, dir)
	}
	if err != nil {
		return cfg, err
	}
	if err := json.Unmarshal(data, &cfg); err != nil {
		return cfg, fmt.Errorf("read %s: %w", issuerFile, err)
	}
	return cfg, nil
}

func newIssuerShowCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show what households need to know of this issuer",
		Example: `  lares issuer show
  lares issuer show --dir ./shop --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := readIssuer(*dir)
			if err != nil {
				return err
			}
			about := struct {
				issuerapi.About
				CA       string `json:"ca"`
				URL      string `json:"url,omitempty"` // while it serves
				Delivery string `json:"delivery"`
			}{About: issuerapi.About{Name: cfg.Name, Issuer: cfg.Issuer, Device: cfg.Device}, CA: cfg.CA, Delivery: filepath.Join(*dir, issuerDelivery)}
			if data, err := os.ReadFile(filepath.Join(*dir, urlFile)); err == nil {
				about.URL = strings.TrimSpace(string(data))
			}
			return env.print(cmd, about, func(w io.Writer) error {
				p := printer{w: w}
				p.line("name        %s", about.Name)
				p.line("issuer      %v", about.Issuer)
				p.line("device      %v", about.Device)
				p.line("delivery    %s", about.Delivery)
				if about.URL != "" {
					p.line("serves at   %s", about.URL)
				}
				return p.err
			})
		},
	}
}
