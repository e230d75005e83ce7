package cli

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/security/pki"
	ca "github.com/lares-drm/lares/security/pki/authority"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/authority"
)

// renewEvery is how often a serving house or shop looks whether its certificate
// is due. Source: local.
const renewEvery = 12 * time.Hour

// due says why a module's certificate wants to be renewed, or "". The authority
// decides by the same rules, docs/spec/authority-api.md.
func due(st *trem.Status, root []byte, now time.Time) (string, error) {
	if len(st.Chain) == 0 {
		return "", nil // not enrolled
	}
	leaf, err := x509.ParseCertificate(st.Leaf)
	if err != nil {
		return "", fmt.Errorf("read certificate: %w", err)
	}
	if before := min(ca.RenewBefore, leaf.NotAfter.Sub(leaf.NotBefore)/2); leaf.NotAfter.Sub(now) <= before {
		return "it ends on " + leaf.NotAfter.UTC().Format(time.DateOnly), nil
	}
	if svn, err := pki.SVNOf(st.Leaf); err != nil || svn < trem.SecurityVersion {
		return "the module has a newer security version", err
	}
	top, err := x509.ParseCertificate(st.Chain[len(st.Chain)-1])
	if err != nil {
		return "", fmt.Errorf("read certificate: %w", err)
	}
	up, err := x509.ParseCertificate(root)
	if err != nil {
		return "", fmt.Errorf("read root: %w", err)
	}
	if !bytes.Equal(top.RawIssuer, up.RawSubject) {
		return "the authority has another root", nil
	}
	return "", nil
}

// renewCertificate renews a module's certificates over the license relay when
// they are due; url is the authority's, or that of a home server that passes
// the frame on. It returns why it did, or "".
func renewCertificate(ctx context.Context, module *trem.Client, web *http.Client, url string, now time.Time) (string, error) {
	st, err := module.Status(ctx)
	if err != nil || len(st.Chain) == 0 {
		return "", err
	}
	trust, err := (&authority.Client{URL: url, HTTP: web}).Trust(ctx)
	if err != nil {
		return "", err
	}
	if len(trust.Roots) == 0 {
		return "", errors.New("the authority names no root")
	}
	why, err := due(&st, trust.Roots[0], now)
	if err != nil || why == "" {
		return "", err
	}
	req, err := module.SigningRequest(ctx)
	if err != nil {
		return "", err
	}
	e, err := authority.Renew(ctx, (&lrphttp.Client{URL: url, HTTP: web}).Exchange, trust.Roots[0], st.Device, st.Chain, req, now)
	if errors.Is(err, authority.ErrNotDue) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("renew the certificate (%s): %w", why, err)
	}
	if err := module.Enroll(ctx, e); err != nil {
		return "", fmt.Errorf("store the renewed certificate: %w", err)
	}
	return why, nil
}

// keepRenewed looks at once and then every renewEvery, until ctx ends.
func keepRenewed(ctx context.Context, module *trem.Client, url string, now func() time.Time, log *slog.Logger) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		why, err := renewCertificate(ctx, module, nil, url, now())
		switch {
		case err != nil && ctx.Err() == nil:
			log.LogAttrs(ctx, slog.LevelWarn, "certificate not renewed", slog.Any("error", err))
		case why != "":
			log.LogAttrs(ctx, slog.LevelInfo, "certificate renewed", slog.String("why", why))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// passRenewals is a house's place in the relay: RENEW frames of its devices go
// on to the authority, every other frame to next.
func passRenewals(next lrp.Handler, url string, now func() time.Time) lrp.Handler {
	return func(ctx context.Context, by lrp.Arrival, f lrp.Frame) []lrp.Frame {
		if f.Type != lrp.TypeRenew || url == "" {
			return next(ctx, by, f)
		}
		on, code := lrp.Forward(f, now())
		if code != 0 {
			return []lrp.Frame{lrp.ErrorFrame(f, code, 0)}
		}
		out, err := (&lrphttp.Client{URL: url}).Exchange(ctx, on)
		if err != nil {
			return []lrp.Frame{lrp.ErrorFrame(f, lrp.CodeInternal, 0)}
		}
		return lrp.Back(f, out, now())
	}
}

type renewAnswer struct {
	Renewed bool   `json:"renewed"`
	Why     string `json:"why,omitempty"`
}

func newTREMRenewCmd(env *Env, dir *string) *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use:   "renew",
		Short: "Renew a module's certificates when they are due",
		Long: `Ask the authority, over the license relay, for new certificates for the same keys:
when they end within 60 days (or half of their validity), when the module has a
newer security version than they say, or when the authority has another root.
Serving houses and shops do so by themselves, and devices when they visit their
house; this is for a module that none of them runs.`,
		Example: `  lares trem renew --dir ~/.local/share/lares/home/trem --ca http://ca.example:7700
  lares trem renew --dir ./trem --ca http://127.0.0.1:7710 --json   # through the house`,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			module, stop, err := startTREM(*dir)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, stop()) }()
			if err := learn(cmd.Context(), module, nil, url); err != nil {
				return err
			}
			why, err := renewCertificate(cmd.Context(), module, nil, url, env.Now())
			switch {
			case errors.Is(err, authority.ErrAway), errors.Is(err, authority.ErrBusy):
				return later("%w", err)
			case errors.Is(err, authority.ErrRefused):
				return refused("%w", err)
			case err != nil:
				return err
			}
			return env.print(cmd, renewAnswer{Renewed: why != "", Why: why}, func(w io.Writer) error {
				if why == "" {
					_, err := fmt.Fprintln(w, "Not due.")
					return err
				}
				_, err := fmt.Fprintf(w, "Renewed: %s.\n", why)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&url, "ca", "", "URL of the authority, or of a home server that passes it on (required)")
	_ = cmd.MarkFlagRequired("ca")
	return cmd
}
