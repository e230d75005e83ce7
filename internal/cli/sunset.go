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
	"github.com/lares-drm/lares/service/home"
)

// Files of the end of a service. Source: local, docs/spec/sunset.md.
const (
	issuerNoticeKey = "notice.pem"       // of an issuer's folder, 0600: who has it may announce the issuer's end
	issuerNotice    = "notice-sent.cose" // of an issuer's folder: the notice that was signed last
	noticeFileType  = "LARES SUNSET"     // PEM type of a notice or withdrawal with its public key
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
	return os.WriteFile(name, signedFile(data, point), 0o644)
}

// signedFile is such a file's text, with what stands in its headers besides.
func signedFile(data, point []byte, also ...string) []byte {
	headers := map[string]string{keyHeader: hex.EncodeToString(point)}
	for i := 0; i+1 < len(also); i += 2 {
		headers[also[i]] = also[i+1]
	}
	return pem.EncodeToMemory(&pem.Block{Type: noticeFileType, Headers: headers, Bytes: data})
}

func readSigned(name string) (data, point []byte, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, nil, err
	}
	return parseSigned(name, text)
}

func parseSigned(name string, text []byte) (data, point []byte, err error) {
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
	cmd.AddCommand(newSunsetNoticeCmd(env, dir), newSunsetWithdrawCmd(env, dir), newSunsetShowCmd(env, dir))
	return cmd
}

// announced is what `issuer sunset --json` prints.
type announced struct {
	Issuer    ident.Issuer    `json:"issuer"`
	Effective time.Time       `json:"effective,omitzero"`
	Scope     []ident.Content `json:"scope,omitempty"`
	File      string          `json:"file,omitempty"`
	Key       string          `json:"key"`    // the notice key, hexadecimal
	Notice    string          `json:"notice"` // hash of the notice, or of the one that is taken back, hexadecimal
	Sent      *sunsetAnswer   `json:"sent,omitempty"`
}

func newSunsetNoticeCmd(env *Env, dir *string) *cobra.Command {
	var effective string
	var way sunsetWay
	var titles []string
	cmd := &cobra.Command{
		Use:   "notice",
		Short: "Sign a notice that this service ends, for the authority to publish",
		Long: `Sign a notice that this service ends on a day at least 30 days ahead, for all
titles or for some. With --send the running issuer (lares issuer serve) sends it to
its certification authority, again and again until that has it; with --out it is a
file that you give to the authority's operator. Either way it counts when the
operator lets it stand (lares ca sunset stand): call there. From that day on
households with a purchase bind it to their new devices by themselves, or make an
ordinary file of it, as their licenses say. Until that day it can be withdrawn.

Exit status 3 when the authority refuses it.`,
		Example: `  lares issuer sunset notice --effective 2027-06-30 --send
  lares issuer sunset notice --effective 2027-06-30 --out closing.pem
  lares issuer sunset notice --effective 2027-06-30 --title urn:film:metropolis --out closing.pem --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := way.check(); err != nil {
				return err
			}
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
			return giveNotice(cmd, env, *dir, n, &way)
		},
	}
	cmd.Flags().StringVar(&effective, "effective", "", "the day, such as 2027-06-30 (required)")
	cmd.Flags().StringArrayVar(&titles, "title", nil, "a title that it is about; repeat it; default: all")
	_ = cmd.MarkFlagRequired("effective")
	way.add(cmd)
	return cmd
}

// giveNotice signs a notice, keeps it, and gives it to the authority.
func giveNotice(cmd *cobra.Command, env *Env, dir string, n license.Notice, way *sunsetWay) error {
	key, err := noticeKey(dir)
	if err != nil {
		return err
	}
	data, err := license.SignNotice(key.key, n)
	if err != nil {
		return err
	}
	s, err := license.ParseNotice(data)
	if err != nil {
		return err
	}
	if err := way.free(dir, s.Hash, false); err != nil {
		return err
	}
	if err := keepNotice(dir, s.Hash, data); err != nil {
		return err
	}
	v := announced{
		Issuer: n.Issuer, Effective: time.UnixMilli(n.Effective).UTC(), Scope: n.Scope,
		Key: hex.EncodeToString(key.point), Notice: hex.EncodeToString(s.Hash[:]),
	}
	return way.give(cmd, env, dir, v, data, key.point)
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
	var way sunsetWay
	var of string
	cmd := &cobra.Command{
		Use:   "withdraw",
		Short: "Take a notice back, before its day",
		Long: `Take a notice back, before its day: the one that stands, which the authority's
public list says, or else the one that was sent, or signed, last; or the one that
--of names. With --send the running issuer sends that to its authority, where it
takes effect at once, whether the notice stands or waits; with --out it is a file
for the authority's operator, and the notice is not sent any more.

Exit status 3 when the authority refuses it.`,
		Example: `  lares issuer sunset withdraw --send
  lares issuer sunset withdraw --out going-on.pem
  lares issuer sunset withdraw --of 4f2a91c0 --dir ./shop --out going-on.pem --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := way.check(); err != nil {
				return err
			}
			cfg, err := readIssuer(*dir)
			if err != nil {
				return err
			}
			key, err := noticeKey(*dir)
			if err != nil {
				return err
			}
			book, err := readNotices(cmd.Context(), *dir, cfg.Issuer, key.point, authorityOf(cfg.CA).Notices)
			if err != nil {
				return err
			}
			var sent [32]byte
			if s, a := pendingSunset(*dir); way.send && s != nil && s.Notice != nil && !a.last() {
				sent = s.Of
			}
			n, err := book.toWithdraw(of, sent, env.Now())
			if err != nil {
				return err
			}
			return giveWithdrawal(cmd, env, *dir, n, key, &way)
		},
	}
	cmd.Flags().StringVar(&of, "of", "", "the notice, by the first digits of its hash; default: the one that stands, or the last")
	way.add(cmd)
	return cmd
}

// giveWithdrawal signs that a notice is taken back, and gives that to the authority.
func giveWithdrawal(cmd *cobra.Command, env *Env, dir string, n signedNotice, key noticeKeyPair, way *sunsetWay) error {
	if err := way.free(dir, n.Hash, true); err != nil {
		return err
	}
	data, err := license.SignWithdrawal(key.key, n.data)
	if err != nil {
		return err
	}
	v := announced{Issuer: n.Issuer, Key: hex.EncodeToString(key.point), Notice: n.name()}
	if err := way.give(cmd, env, dir, v, data, key.point); err != nil {
		return err
	}
	return way.stop(dir, n.Hash)
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
