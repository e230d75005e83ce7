package cli

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
)

func newLicenseCmd(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "license",
		Short: "Show a license, explain what it permits, and tell what would come of it",
		Long: `Show and explain licenses, and tell stories about them. A license holds no secret: it may be shown, kept and
sent around. None of the commands checks who signed it; a module does when it accepts it.`,
		Example: `  lares license show film.license
  lares license explain --code 'PLAY; PLAY_COUNT=2; INTERVAL=48h'
  lares license simulate evening.txt --license film.license`,
	}
	cmd.AddCommand(newLicenseShowCmd(env), newLicenseExplainCmd(env), newLicenseSimulateCmd(env))
	return cmd
}

// shownLicense is what `license show --json` prints; binary values are
// hexadecimal.
type shownLicense struct {
	ID         string          `json:"id"`
	Hash       string          `json:"hash"`
	Signer     string          `json:"signer_x5t"`
	Bytes      int             `json:"bytes"`
	Issuer     string          `json:"issuer"`
	IssuedAt   int64           `json:"issued_at"`
	Version    uint64          `json:"version"`
	Content    string          `json:"content"`
	Subject    shownSubject    `json:"subject"`
	Code       string          `json:"code"`
	Terms      string          `json:"terms"`
	Policy     *license.Policy `json:"policy"`
	Keys       []shownKey      `json:"keys"`
	Parent     *shownParent    `json:"parent,omitempty"`
	MinEpoch   uint64          `json:"rev_min_epoch"`
	MaxAge     int64           `json:"rev_max_age,omitempty"`
	StatusURL  string          `json:"status_url,omitempty"`
	Sunset     *license.Sunset `json:"sunset,omitempty"`
	Continues  string          `json:"continues,omitempty"` // issuer and license ID
	Stateless  bool            `json:"stateless"`
	Unverified bool            `json:"signature_not_checked"`
}

type shownSubject struct {
	Kind       string `json:"kind"`
	ID         string `json:"id"`
	Generation uint64 `json:"generation,omitempty"`
}

type shownKey struct {
	KID     string               `json:"kid"`
	Tier    license.Tier         `json:"tier"`
	Check   string               `json:"check"`
	BPS     uint64               `json:"bps,omitempty"`
	Outputs *license.OutputRules `json:"outputs,omitempty"`
}

type shownParent struct {
	Hash           string `json:"hash"`
	CopyGeneration uint64 `json:"copy_generation"`
	Kind           uint64 `json:"kind"`
	Index          uint64 `json:"index"`
	Of             uint64 `json:"of"`
}

func newLicenseShowCmd(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "show FILE",
		Short: "Show every field of a license",
		Long:  "Show every field of a license. FILE may be - for standard input.",
		Example: `  lares license show film.license
  lares license show film.license --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			lic, err := env.license(args[0])
			if err != nil {
				return err
			}
			s := shown(lic)
			return env.print(cmd, s, s.text)
		},
	}
}

// license reads a license file, at most as long as a license may be.
func (e *Env) license(name string) (*license.License, error) {
	data, err := e.read(name, license.MaxSize+1)
	if err != nil {
		return nil, err
	}
	lic, err := license.Inspect(data)
	if err != nil {
		return nil, fmt.Errorf("%s is not a license: %w", name, err)
	}
	return lic, nil
}

// read reads a file, or standard input for -, as far as limit bytes.
func (e *Env) read(name string, limit int64) ([]byte, error) {
	in := e.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close() //nolint:errcheck // read only
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, limit))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return data, nil
}

func shown(lic *license.License) *shownLicense {
	i, hash, signer := lic.Info(), lic.Hash(), lic.X5T()
	s := &shownLicense{
		ID: i.ID.String(), Hash: hex.EncodeToString(hash[:]), Signer: hex.EncodeToString(signer[:]), Bytes: len(lic.Bytes()),
		Issuer: i.Issuer.String(), IssuedAt: i.IssuedAt, Version: i.Version, Content: i.Content.String(),
		Subject: shownSubject{
			Kind: map[license.SubjectKind]string{license.SubjectDomain: "domain", license.SubjectDevice: "device", license.SubjectUser: "user"}[i.Subject.Kind],
			ID:   hex.EncodeToString(i.Subject.ID[:]), Generation: i.Subject.Generation,
		},
		Code: hex.EncodeToString(i.Code), Terms: lic.Units().Text(), Policy: &i.Policy,
		MinEpoch: i.RevMinEpoch, MaxAge: i.RevMaxAge, StatusURL: i.StatusURL, Sunset: i.Sunset, Stateless: i.Stateless(), Unverified: true,
	}
	for n := range i.Keys {
		k := &i.Keys[n]
		v := shownKey{KID: k.KID.String(), Tier: k.Tier, Check: hex.EncodeToString(k.Check[:]), BPS: k.BPS}
		if rules, err := k.Rules(); err == nil && len(k.Outputs) > 0 {
			v.Outputs = &rules
		}
		s.Keys = append(s.Keys, v)
	}
	if c := i.Continues; c != nil {
		s.Continues = c.Issuer.String() + " " + c.ID.String()
	}
	if p := i.Parent; p != nil {
		s.Parent = &shownParent{hex.EncodeToString(p.Hash[:]), p.CopyGeneration, uint64(p.Kind), p.Index, p.Of}
	}
	return s
}

func (s *shownLicense) text(w io.Writer) error {
	p := printer{w: w}
	p.line("license   %s, version %d, %d bytes", s.ID, s.Version, s.Bytes)
	p.line("hash      %s", s.Hash)
	p.line("signer    %s (signature not checked here)", s.Signer)
	p.line("issuer    %s, %s", s.Issuer, moment(s.IssuedAt))
	p.line("content   %s", s.Content)
	p.line("subject   %s %s, generation %d", s.Subject.Kind, s.Subject.ID, s.Subject.Generation)
	p.line("terms     %s", s.Terms)
	p.line("code      %s", s.Code)
	if policy, err := json.Marshal(s.Policy); err == nil && len(policy) > 2 {
		p.line("policy    %s", policy)
	}
	for _, k := range s.Keys {
		p.line("key       %s %v, %d bytes/s", k.KID, k.Tier, k.BPS)
	}
	if s.Parent != nil {
		p.line("parent    %s, kind %d, index %d of %d", s.Parent.Hash, s.Parent.Kind, s.Parent.Index, s.Parent.Of)
	}
	if s.Continues != "" {
		p.line("continues %s", s.Continues)
	}
	if s.Sunset != nil {
		p.line("sunset    mode %d, after %d days of silence", s.Sunset.Mode, s.Sunset.SilenceMS/86400_000)
	}
	if s.StatusURL != "" {
		p.line("status    %s", s.StatusURL)
	}
	p.line("epoch     at least %d", s.MinEpoch)
	return p.err
}

// explained is what `license explain --json` prints.
type explained struct {
	Terms string   `json:"terms"`
	Code  string   `json:"code"`
	Words []string `json:"words"`
}

func newLicenseExplainCmd(env *Env) *cobra.Command {
	var code string
	cmd := &cobra.Command{
		Use:   "explain [FILE]",
		Short: "Say in words what a license or a permission code permits",
		Long: `Say in words what a license permits, or a permission code given as text or as
0x and hexadecimal digits. FILE may be - for standard input.`,
		Example: `  lares license explain film.license
  lares license explain --code 'PLAY; PLAY_COUNT=2; INTERVAL=48h; EXPORT=clearkey'
  lares license explain --code 0x010001011000 --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == cmd.Flags().Changed("code") {
				return usage("give either FILE or --code")
			}
			x, err := explainCode(code)
			if len(args) == 1 {
				x, err = env.explainLicense(args[0])
			}
			if err != nil {
				return err
			}
			return env.print(cmd, x, func(w io.Writer) error {
				p := printer{w: w}
				for _, s := range x.Words {
					p.line("%s", s)
				}
				return p.err
			})
		},
	}
	cmd.Flags().StringVar(&code, "code", "", "a permission code, as text or 0x and hexadecimal digits")
	return cmd
}

func explainCode(text string) (*explained, error) {
	u, err := permission.ParseText(text)
	if digits, ok := strings.CutPrefix(text, "0x"); ok {
		var b []byte
		if b, err = hex.DecodeString(digits); err != nil {
			return nil, usage("--code: not hexadecimal")
		}
		u, err = permission.Parse(b)
	}
	if err != nil {
		return nil, usage("--code: %w", err)
	}
	code, err := u.Encode()
	if err != nil {
		return nil, err
	}
	return &explained{Terms: u.Text(), Code: hex.EncodeToString(code), Words: u.Words()}, nil
}

func (e *Env) explainLicense(name string) (*explained, error) {
	lic, err := e.license(name)
	if err != nil {
		return nil, err
	}
	words, err := lic.Info().Words()
	if err != nil {
		return nil, err
	}
	return &explained{Terms: lic.Units().Text(), Code: hex.EncodeToString(lic.Info().Code), Words: words}, nil
}
