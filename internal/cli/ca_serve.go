package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/authority"
	service "github.com/lares-drm/lares/service/authority"
)

type caServeFlags struct {
	dir, listen string
	open        bool
}

func newCAServeCmd(env *Env, dir *string) *cobra.Command {
	var f caServeFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Answer enrollments and renewals, and serve revocation and time until interrupted; the first line printed is its URL",
		Long: `Certify parties that show a voucher, renew certificates of those that have some
(over the license relay), and serve the revocation state and time tokens. What it serves is signed, so plain HTTP and relays do no harm to it; an
enrollment decides whom a module believes, so let it happen on this machine, in
a network you trust, or behind HTTPS.`,
		Example: `  lares ca serve
  lares ca serve --dir ./ca --listen 127.0.0.1:7700
  lares ca serve --listen :7700 --open     # devices need no voucher`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.dir = *dir
			return serveCA(cmd.Context(), env, f)
		},
	}
	cmd.Flags().StringVar(&f.listen, "listen", "127.0.0.1:7700", "address to serve on")
	cmd.Flags().BoolVar(&f.open, "open", false, "let devices enroll without a voucher")
	return cmd
}

func serveCA(ctx context.Context, env *Env, f caServeFlags) (err error) {
	var keys caKeys
	defer func() { err = errors.Join(err, keys.close()) }()
	store, err := keys.folder(f.dir)
	if err != nil {
		return err
	}
	server, err := service.New(service.Config{
		Store: store, Now: env.Now, Open: f.open, Log: slog.New(slog.NewTextHandler(env.Stderr, nil)),
	})
	if errors.Is(err, authority.ErrAbsent) {
		return noCeremony(f.dir)
	}
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", f.listen)
	if err != nil {
		return fmt.Errorf("serve the authority: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle(lrphttp.Path, lrphttp.Handler(server.Frame))
	mux.Handle("/", server.Handler())
	srv := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 20 * time.Second, WriteTimeout: time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return server.Run(gctx) })
	g.Go(func() error {
		if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve the authority: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-gctx.Done()
		grace, done := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer done()
		return srv.Shutdown(grace)
	})
	fmt.Fprintf(env.Stdout, "http://%s\n", reachable(listener.Addr()))
	return g.Wait()
}

type issueFlags struct {
	role, signing, delivery, issuer, name, level, anchor, out string
	class, svn                                                uint32
}

type issueAnswer struct {
	Member string       `json:"member"`
	Device ident.Device `json:"device"`
	File   string       `json:"file"`
}

func newCAIssueCmd(env *Env, dir *string) *cobra.Command {
	var f issueFlags
	cmd := &cobra.Command{
		Use:   "issue",
		Short: "Certify a party from two signing request files",
		Long: `Certify a party from two PKCS#10 files in DER or PEM, one of its signing key and
one of its delivery key. You have checked who it is, and that its keys are held
as the level says. The answer is one PEM file: the chain of the signing key,
leaf first, the certificate of the delivery key, then the root.`,
		Example: `  lares ca issue --role device --signing sig.csr --delivery ecdh.csr --out device.pem
  lares ca issue --role device --class 4098 --level SL3 --anchor A2 --svn 2 --signing sig.csr --delivery ecdh.csr --out tpm.pem
  lares ca issue --role license-issuer --issuer shop.example --signing s.csr --delivery d.csr --out shop.pem --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			req, err := f.request()
			if err != nil {
				return err
			}
			var c *authority.Certified
			err = withAuthority(*dir, func(a *authority.Authority) error {
				c, err = a.Enroll(req, env.Now())
				return err
			})
			if pki.RuleOf(err) != "" {
				return refused("%w", err)
			}
			if err != nil {
				return err
			}
			return f.write(cmd, env, c)
		},
	}
	cmd.Flags().StringVar(&f.role, "role", "device", "device, home-server, license-issuer or content-provider")
	cmd.Flags().Uint32Var(&f.class, "class", 0, "class of the device; 0 means the first active one")
	cmd.Flags().StringVar(&f.signing, "signing", "", "signing request of the signing key (required)")
	cmd.Flags().StringVar(&f.delivery, "delivery", "", "signing request of the delivery key (required)")
	cmd.Flags().StringVar(&f.issuer, "issuer", "", "issuer ID of a license issuer")
	cmd.Flags().StringVar(&f.name, "name", "", "common name; default: the role and the place in its class")
	cmd.Flags().StringVar(&f.level, "level", "SL1", "SL1 software, SL2 token, SL3 TPM or secure element")
	cmd.Flags().StringVar(&f.anchor, "anchor", "A0", "A0 none, A1 household witnesses, A2 non-volatile counter")
	cmd.Flags().Uint32Var(&f.svn, "svn", 0, "security version of the module")
	cmd.Flags().StringVar(&f.out, "out", "", "file to write (required)")
	for _, name := range []string{"signing", "delivery", "out"} {
		_ = cmd.MarkFlagRequired(name)
	}
	return cmd
}

func (f *issueFlags) request() (r authority.Request, err error) {
	r = authority.Request{Class: pki.Class(f.class), Issuer: ident.Issuer(f.issuer), Name: f.name, SVN: f.svn}
	if r.Role, err = parseRole(f.role); err != nil {
		return r, err
	}
	if err := errors.Join(r.Level.UnmarshalText([]byte(f.level)), r.Anchor.UnmarshalText([]byte(f.anchor))); err != nil {
		return r, usage("%w", err)
	}
	if r.Signing, err = readRequest(f.signing); err == nil {
		r.Delivery, err = readRequest(f.delivery)
	}
	return r, err
}

func readRequest(name string) ([]byte, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read signing request: %w", err)
	}
	if b, _ := pem.Decode(data); b != nil {
		return b.Bytes, nil
	}
	return data, nil
}

func (f *issueFlags) write(cmd *cobra.Command, env *Env, c *authority.Certified) error {
	var out []byte
	for _, der := range slices.Concat(c.Chain, [][]byte{c.Delivery}, c.Roots) {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	if err := os.WriteFile(f.out, out, 0o600); err != nil {
		return fmt.Errorf("write certificates: %w", err)
	}
	a := issueAnswer{Member: c.Member.String(), Device: c.Device, File: f.out}
	return env.print(cmd, a, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "Certified %s, device ID %v: %s\n", a.Member, a.Device, a.File)
		return err
	})
}

// caAnswer is what 'ca show' says.
type caAnswer struct {
	Name       string                `json:"name"`
	Root       string                `json:"root_sha256"`                // of the root certificate that signs, hexadecimal
	Rotations  int                   `json:"rotations"`                  // roots before it
	Signer     uint64                `json:"signer_generation,omitzero"` // state signers before the one that signs
	Epoch      uint64                `json:"epoch"`
	IssuedAt   time.Time             `json:"issued_at"`
	NextUpdate time.Time             `json:"next_update"`
	Classes    []authority.ClassInfo `json:"classes"`
}

func newCAShowCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show the trust domain, its classes and its revocation state",
		Example: `  lares ca show
  lares ca show --dir ./ca --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withAuthority(*dir, func(a *authority.Authority) error { return showCA(cmd, env, a) })
		},
	}
}

func showCA(cmd *cobra.Command, env *Env, a *authority.Authority) error {
	head := a.State().Head()
	sum := sha256.Sum256(a.Trust().Roots[0])
	out := caAnswer{
		Name: a.Name(), Root: hex.EncodeToString(sum[:]), Rotations: len(a.Trust().Rotations), Signer: a.Generation(), Epoch: head.Epoch.Number,
		IssuedAt: time.UnixMilli(head.IssuedAt).UTC(), NextUpdate: time.UnixMilli(head.NextUpdate).UTC(), Classes: a.Classes(),
	}
	return env.print(cmd, out, func(w io.Writer) error {
		p := printer{w: w}
		p.line("trust domain  %s", out.Name)
		p.line("root          SHA-256 %s", out.Root)
		if out.Rotations > 0 {
			p.line("              the %d. root of the domain", out.Rotations+1)
		}
		if out.Signer > 0 {
			p.line("state signer  the %d. of the domain", out.Signer+1)
		}
		p.line("epoch         %d, issued %s, next update %s", out.Epoch, moment(head.IssuedAt), moment(head.NextUpdate))
		for _, c := range out.Classes {
			p.line("class %-7v %-10v %4d issued %4d revoked, SVN >= %d  %s", c.Class, c.Status, c.Members, c.Revoked, c.MinSVN, c.Name)
		}
		return p.err
	})
}
