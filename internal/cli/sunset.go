package cli

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki/authority"
	"github.com/lares-drm/lares/service/home"
)

// Files of the end of a service. Source: local, docs/spec/sunset.md.
const (
	issuerNoticeKey = "notice.pem"   // of an issuer's folder, 0600: who has it may announce the issuer's end
	noticeFileType  = "LARES SUNSET" // PEM type of a notice or withdrawal with its public key
	keyHeader       = "Key"
)

// noticeKeyPair is an issuer's notice key.
type noticeKeyPair struct {
	key   *ecdsa.PrivateKey
	point []byte // as licenses name it
}

// noticeKey reads an issuer's notice key, and makes one where there is none.
func noticeKey(dir string) (k noticeKeyPair, err error) {
	name := filepath.Join(dir, issuerNoticeKey)
	text, err := secretFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		if k.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return k, err
		}
		der, err := x509.MarshalPKCS8PrivateKey(k.key)
		if err != nil {
			return k, err
		}
		if err := writeDurably(name, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})); err != nil {
			return k, err
		}
		k.point, err = license.NoticeKey(k.key.Public())
		return k, err
	}
	if err != nil {
		return k, fmt.Errorf("read the notice key: %w", err)
	}
	damaged := fmt.Errorf("%s is damaged: put it back from a backup, or no license can be released by a notice", name)
	b, _ := pem.Decode([]byte(text))
	if b == nil {
		return k, damaged
	}
	any, err := x509.ParsePKCS8PrivateKey(b.Bytes)
	key, ok := any.(*ecdsa.PrivateKey)
	if err != nil || !ok {
		return k, damaged
	}
	k.key = key
	k.point, err = license.NoticeKey(key.Public())
	return k, err
}

// writeSigned writes a signed statement for the authority's operator, with the
// key to check it by.
func writeSigned(name string, data, point []byte) error {
	b := &pem.Block{Type: noticeFileType, Headers: map[string]string{keyHeader: hex.EncodeToString(point)}, Bytes: data}
	return os.WriteFile(name, pem.EncodeToMemory(b), 0o644)
}

func readSigned(name string) (data, point []byte, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, nil, err
	}
	b, _ := pem.Decode(text)
	if b == nil || b.Type != noticeFileType {
		return nil, nil, fmt.Errorf("%s holds no notice: make it with lares issuer sunset", name)
	}
	if point, err = hex.DecodeString(b.Headers[keyHeader]); err != nil || len(point) != license.NoticeKeyLen {
		return nil, nil, fmt.Errorf("%s names no key", name)
	}
	return b.Bytes, point, nil
}

func newIssuerSunsetCmd(env *Env, dir *string) *cobra.Command {
	cmd := &cobra.Command{Use: "sunset", Short: "Announce the end of the service, so that households keep what they bought"}
	cmd.AddCommand(newSunsetNoticeCmd(env, dir), newSunsetWithdrawCmd(env, dir))
	return cmd
}

// announced is what `issuer sunset --json` prints.
type announced struct {
	Issuer    ident.Issuer    `json:"issuer"`
	Effective time.Time       `json:"effective,omitzero"`
	Scope     []ident.Content `json:"scope,omitempty"`
	File      string          `json:"file"`
	Key       string          `json:"key"` // the notice key, hexadecimal
}

func newSunsetNoticeCmd(env *Env, dir *string) *cobra.Command {
	var effective, out string
	var titles []string
	cmd := &cobra.Command{
		Use:   "notice",
		Short: "Sign a notice that this service ends, for the authority to publish",
		Long: `Sign a notice that this service ends on a day at least 30 days ahead, for all
titles or for some. Give the file to the operator of the certification authority
(lares ca sunset stand). From that day on households with a purchase bind it to
their new devices by themselves, or make an ordinary file of it, as their
licenses say. Until that day it can be withdrawn.`,
		Example: `  lares issuer sunset notice --effective 2027-06-30 --out closing.pem
  lares issuer sunset notice --effective 2027-06-30 --title urn:film:metropolis --out closing.pem --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			at, err := dayOf(effective)
			if err != nil {
				return err
			}
			if at.UnixMilli() < env.Now().UnixMilli()+license.NoticeAhead {
				return usage("--effective: a notice takes effect at least 30 days ahead")
			}
			cfg, err := readIssuer(*dir)
			if err != nil {
				return err
			}
			n := license.Notice{Issuer: cfg.Issuer, Effective: at.UnixMilli()}
			for _, t := range titles {
				id, err := contentArg(t)
				if err != nil {
					return err
				}
				n.Scope = append(n.Scope, id)
			}
			key, err := noticeKey(*dir)
			if err != nil {
				return err
			}
			data, err := license.SignNotice(key.key, n)
			if err != nil {
				return err
			}
			if err := errors.Join(writeDurably(filepath.Join(*dir, "notice-sent.cose"), data), writeSigned(out, data, key.point)); err != nil {
				return err
			}
			v := announced{Issuer: n.Issuer, Effective: at, Scope: n.Scope, File: out, Key: hex.EncodeToString(key.point)}
			return env.print(cmd, v, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s says that the service of %v ends on %s. Give it to the authority: lares ca sunset stand %s\n", out, n.Issuer, at.Format("2 Jan 2006"), out)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&effective, "effective", "", "the day, such as 2027-06-30 (required)")
	cmd.Flags().StringArrayVar(&titles, "title", nil, "a title that it is about; repeat it; default: all")
	cmd.Flags().StringVar(&out, "out", "", "file to write (required)")
	_ = cmd.MarkFlagRequired("effective")
	_ = cmd.MarkFlagRequired("out")
	return cmd
}

func dayOf(s string) (time.Time, error) {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if at, err := time.Parse(layout, s); err == nil {
			return at.UTC(), nil
		}
	}
	return time.Time{}, usage("%q is no day such as 2027-06-30", s)
}

func newSunsetWithdrawCmd(env *Env, dir *string) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "withdraw",
		Short: "Take the notice back that was signed last, before its day",
		Example: `  lares issuer sunset withdraw --out going-on.pem
  lares issuer sunset withdraw --dir ./shop --out going-on.pem --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := readIssuer(*dir)
			if err != nil {
				return err
			}
			notice, err := os.ReadFile(filepath.Join(*dir, "notice-sent.cose"))
			if err != nil {
				return fmt.Errorf("this issuer has given no notice: %w", err)
			}
			key, err := noticeKey(*dir)
			if err != nil {
				return err
			}
			data, err := license.SignWithdrawal(key.key, notice)
			if err != nil {
				return err
			}
			if err := writeSigned(out, data, key.point); err != nil {
				return err
			}
			v := announced{Issuer: cfg.Issuer, File: out, Key: hex.EncodeToString(key.point)}
			return env.print(cmd, v, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s takes the notice back. Give it to the authority: lares ca sunset withdraw --issuer %v %s\n", out, cfg.Issuer, out)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "file to write (required)")
	_ = cmd.MarkFlagRequired("out")
	return cmd
}

func newCASunsetCmd(env *Env, dir *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sunset",
		Short: "Let an issuer's notice of its end stand, or take it back at the issuer's word",
		Long: `An issuer's notice counts from the day that it names, at least 30 days ahead,
when the authority lets it stand. Check first, by a call, that it comes from the
issuer and that the key is its notice key (lares issuer sunset notice prints it).`,
	}
	var issuer string
	withdraw := &cobra.Command{
		Use:     "withdraw FILE",
		Short:   "Take a notice back before its day, by a file that its issuer has signed",
		Args:    cobra.ExactArgs(1),
		Example: `  lares ca sunset withdraw --issuer shop.example going-on.pem`,
		RunE: func(cmd *cobra.Command, args []string) error {
			data, _, err := readSigned(args[0])
			if err != nil {
				return err
			}
			return changeIssuer(cmd, env, *dir, func(a *authority.Authority) error { return a.Withdraw(ident.Issuer(issuer), data, env.Now()) })
		},
	}
	withdraw.Flags().StringVar(&issuer, "issuer", "", "ID of the issuer (required)")
	_ = withdraw.MarkFlagRequired("issuer")
	cmd.AddCommand(&cobra.Command{
		Use:     "stand FILE",
		Short:   "Publish that a notice stands",
		Args:    cobra.ExactArgs(1),
		Example: `  lares ca sunset stand closing.pem`,
		RunE: func(cmd *cobra.Command, args []string) error {
			data, point, err := readSigned(args[0])
			if err != nil {
				return err
			}
			return changeIssuer(cmd, env, *dir, func(a *authority.Authority) error { return a.Stand(data, point, env.Now()) })
		},
	}, withdraw, &cobra.Command{
		Use:   "list",
		Short: "List the issuers: when they were heard from, and what notice stands",
		Args:  cobra.NoArgs,
		Example: `  lares ca sunset list
  lares ca sunset list --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return changeIssuer(cmd, env, *dir, func(*authority.Authority) error { return nil })
		},
	})
	return cmd
}

// changeIssuer does something about an issuer and prints what stands then.
func changeIssuer(cmd *cobra.Command, env *Env, dir string, do func(*authority.Authority) error) error {
	var out struct {
		Issuers []authority.IssuerInfo `json:"issuers"`
	}
	err := withAuthority(dir, func(a *authority.Authority) error {
		if err := do(a); err != nil {
			return err
		}
		out.Issuers = a.Issuers()
		return nil
	})
	if errors.Is(err, authority.ErrSunset) {
		return refused("%w", err)
	}
	if err != nil {
		return err
	}
	return env.print(cmd, out, func(w io.Writer) error {
		p := printer{w: w}
		for _, i := range out.Issuers {
			ends := ""
			if !i.Effective.IsZero() {
				ends = "  ends " + i.Effective.Format(time.RFC3339)
			}
			p.line("%v  last heard %s%s", i.Issuer, i.LastSeen.Format(time.RFC3339), ends)
		}
		return p.err
	})
}

// releaseTimeout bounds the making of an ordinary file.
const releaseTimeout = 6 * time.Hour

func newHomeReleaseCmd(env *Env, dir *string) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "release TITLE",
		Short: "Make an ordinary file of a title whose shop has ended, where your copy promises it",
		Long: `Make an ordinary MP4 file, with picture and sound, of a title whose page says that
it becomes one. It is possible when the shop has announced its end, was not heard
of for as long as your copy says, or on the day that it names. Only times that
the authority has signed count, not the clock of this machine.

Exit status 3 before that.`,
		Args: cobra.ExactArgs(1),
		Example: `  lares home release urn:film:metropolis --out ~/films/metropolis.mp4
  lares home release urn:film:metropolis --out /srv/films/metropolis.mp4 --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := contentArg(args[0])
			if err != nil {
				return err
			}
			file, err := filepath.Abs(out)
			if err != nil {
				return fmt.Errorf("find the file: %w", err)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), releaseTimeout)
			defer cancel()
			var got home.Released
			path := "/api/v1/library/" + url.PathEscape(id.String()) + "/release"
			if err := askHomeWithin(ctx, *dir, http.MethodPost, path, httpd.ReleaseRequest{File: file}, &got); err != nil {
				return err
			}
			return env.print(cmd, got, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s is an ordinary file now: %s picture, %d bytes. It is yours.\n", got.File, got.Tier, got.Bytes)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "the file to make, new (required)")
	_ = cmd.MarkFlagRequired("out")
	return cmd
}
