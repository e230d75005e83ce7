package scenario

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// firstName is the license that a story does not name.
const firstName = "film"

// maxLicenses bounds the licenses that a story writes. Source: local.
const maxLicenses = 16

// header is one line in front of the steps, as it is printed again.
type header struct {
	line             int
	key, name, value string
}

// headers lists the words that begin a header line, as people are told.
const headers = "title, shows, profile, license, policy, keys, subject, parent, info"

// spec is one license of a story.
type spec struct {
	name  string
	line  int
	info  license.Info
	keyed bool // keys: was given
	lic   *license.License
}

// issued is when the licenses of stories are issued: 2026-01-01T00:00:00Z.
func issued() int64 { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli() }

// signer is the key of the worked examples of docs/spec/license.md: the scalar
// is 32 bytes 0x07. It is no secret.
func signer() (*ecdsa.PrivateKey, error) {
	return ecdsa.ParseRawPrivateKey(elliptic.P256(), []byte(strings.Repeat("\x07", 32)))
}

// sign makes a license of info, the same bytes each time.
func sign(info *license.Info) (*license.License, error) {
	key, err := signer()
	if err != nil {
		return nil, err
	}
	data, err := license.Sign(key, []byte("certificate"), info)
	if err != nil {
		return nil, err
	}
	return license.Parse(data)
}

// known devices and domains have the IDs of the pages' examples.
func domainID(s string) (ident.Domain, error) {
	if s == "home" {
		return ident.Domain{0: 0xd0, 15: 1}, nil
	}
	return parseID(s)
}

func deviceID(s string) (ident.Device, error) {
	if s == "here" {
		return ident.Device([]byte(strings.Repeat("\x01", ident.Size))), nil
	}
	return parseID(s)
}

func newSpec(name string, line, n int) *spec {
	return &spec{name: name, line: line, info: license.Info{
		Format: license.Format, ID: ident.License{0: 1, 15: byte(n + 1)}, Issuer: "shop.example", IssuedAt: issued(), Content: "film-1", Version: 1, //nolint:gosec // a few licenses
		Subject: license.DomainSubject(ident.Domain{0: 0xd0, 15: 1}, 1),
	}}
}

// header reads one header line.
func (s *Scenario) header(h header) error {
	switch h.key {
	case "title":
		if s.title != "" {
			return fmt.Errorf("title: stands twice")
		}
		s.title = h.value
		return nil
	case "shows":
		s.shows = append(s.shows, tokens(h.value)...)
		return nil
	case "profile":
		return s.profileOf(h)
	case "license":
		return s.license(h)
	case "policy", "keys", "subject", "parent", "info":
	default:
		return fmt.Errorf("%q: no such header; headers are %s", h.key, headers)
	}
	at := slices.IndexFunc(s.specs, func(x *spec) bool { return x.name == h.name })
	if at < 0 {
		return fmt.Errorf("%s: there is no license %q yet: write it first, as \"license %s: PLAY\"", h.key, h.name, h.name)
	}
	x := s.specs[at]
	switch h.key {
	case "policy":
		return policy(&x.info.Policy, h.value)
	case "keys":
		x.keyed = true
		return keys(&x.info, h.value)
	case "subject":
		return subject(&x.info, tokens(h.value))
	case "parent":
		return s.parent(&x.info, tokens(h.value))
	}
	return s.info(&x.info, tokens(h.value))
}

func (s *Scenario) license(h header) error {
	if slices.ContainsFunc(s.specs, func(x *spec) bool { return x.name == h.name }) {
		return fmt.Errorf("license %s: stands twice", h.name)
	}
	if len(s.specs) == maxLicenses {
		return fmt.Errorf("more than %d licenses", maxLicenses)
	}
	u, err := permission.ParseText(h.value)
	if err != nil {
		return err
	}
	x := newSpec(h.name, h.line, len(s.specs))
	if x.info.Code, err = u.Encode(); err != nil {
		return err
	}
	s.specs = append(s.specs, x)
	return nil
}

// finish signs the licenses; a story without one has PLAY.
func (s *Scenario) finish() error {
	if len(s.specs) == 0 {
		if err := s.license(header{line: 1, key: "license", name: firstName, value: "PLAY"}); err != nil {
			return err
		}
	}
	for _, x := range s.specs {
		if err := s.seal(x); err != nil {
			return &Error{x.line, "license " + x.name + ": " + err.Error()}
		}
	}
	return nil
}

func (s *Scenario) seal(x *spec) error {
	if !x.keyed {
		if err := keys(&x.info, "AUDIO 16000, SD 250000, HD 1000000"); err != nil {
			return err
		}
	}
	for i := range x.info.Keys {
		k := &x.info.Keys[i]
		k.Check = license.KeyCheck(k.KID, x.info.Content, slices.Repeat([]byte{byte(k.Tier)}, 16)) //nolint:gosec // a key for tests: any byte of the tier will do
	}
	var err error
	x.lic, err = sign(&x.info)
	return err
}

// keys reads "TIER BPS rule=value …, TIER …".
func keys(info *license.Info, value string) error {
	for p := range strings.SplitSeq(value, ",") {
		words := tokens(p)
		if len(words) == 0 {
			return fmt.Errorf("keys: nothing between two commas")
		}
		var k license.KeyRef
		if err := k.Tier.UnmarshalText([]byte(words[0])); err != nil || k.Tier == 0 || k.Tier > 255 {
			return fmt.Errorf("keys: %q is no tier: AUDIO, SD, HD, UHD, CUSTOM_64 to CUSTOM_255", words[0])
		}
		same := byte(0)
		for i := range info.Keys {
			if info.Keys[i].Tier == k.Tier {
				same++
			}
		}
		k.KID = ident.Key{0: 0xa0, 14: same, 15: byte(k.Tier)}
		rest := words[1:]
		if len(rest) > 0 {
			if n, err := strconv.ParseUint(rest[0], 10, 53); err == nil {
				k.BPS, rest = n, rest[1:]
			}
		}
		var err error
		if k.Outputs, err = outputRules(rest); err != nil {
			return fmt.Errorf("keys: %s: %w", words[0], err)
		}
		info.Keys = append(info.Keys, k)
	}
	return nil
}

func subject(info *license.Info, words []string) error {
	if len(words) == 0 {
		return fmt.Errorf("subject: want domain, device NAME or user NAME")
	}
	o := opts{}
	gen, id := uint64(1), ""
	o.number("generation", &gen)
	o.text("id", &id)
	kind, rest := words[0], words[1:]
	if len(rest) > 0 && !strings.Contains(rest[0], "=") {
		id, rest = rest[0], rest[1:]
	}
	if err := o.read(rest); err != nil {
		return fmt.Errorf("subject: %w", err)
	}
	sub, err := subjectOf(kind, id, gen)
	info.Subject = sub
	return err
}

// subjectOf names a subject; without an ID it is the story's own.
func subjectOf(kind, id string, gen uint64) (license.Subject, error) {
	switch kind {
	case "domain":
		if id == "" {
			id = "home"
		}
		d, err := domainID(id)
		return license.DomainSubject(d, gen), err
	case "device":
		if id == "" {
			id = "here"
		}
		d, err := deviceID(id)
		return license.DeviceSubject(d), err
	case "user":
		u, err := parseID(id)
		return license.Subject{Kind: license.SubjectUser, ID: u}, err
	}
	return license.Subject{}, fmt.Errorf("%q is no subject: want domain, device or user", kind)
}

// kinds of derived licenses, by their words.
func derivedKind(s string) (license.DerivedKind, bool) {
	k, ok := map[string]license.DerivedKind{
		"copy": license.KindCopy, "loan": license.KindLoan, "allowance": license.KindAllowance, "export": license.KindExport, "rebind": license.KindRebind,
	}[s]
	return k, ok
}

func (s *Scenario) parent(info *license.Info, words []string) error {
	p := &license.Parent{Hash: sha256.Sum256([]byte("a parent of nobody"))}
	var ok bool
	if len(words) > 0 {
		p.Kind, ok = derivedKind(words[0])
	}
	if !ok {
		return fmt.Errorf("parent: want copy, loan, allowance, export or rebind")
	}
	if p.Kind == license.KindCopy {
		p.CopyGeneration = 1
	}
	o := opts{}
	o.number("generation", &p.CopyGeneration)
	o.number("index", &p.Index)
	o.number("of", &p.Of)
	o.add("hash", func(v string) error {
		at := slices.IndexFunc(s.specs, func(x *spec) bool { return x.name == v })
		if at < 0 || &s.specs[at].info == info {
			return fmt.Errorf("there is no license %q in front of this one", v)
		}
		other := *s.specs[at] // as far as it is written
		if err := s.seal(&other); err != nil {
			return err
		}
		p.Hash = other.lic.Hash()
		return nil
	})
	info.Parent = p
	return o.read(words[1:])
}

func (s *Scenario) info(info *license.Info, words []string) error {
	o := opts{}
	n, name, issuer := uint64(0), "", string(info.Issuer)
	o.number("id", &n)
	o.number("version", &info.Version)
	o.text("issuer", &issuer)
	o.text("content", (*string)(&info.Content))
	o.number("rev_min_epoch", &info.RevMinEpoch)
	o.span("rev_max_age", &info.RevMaxAge)
	o.text("continues", &name)
	o.add("issued", func(v string) error {
		m, err := parseMoment(v)
		info.IssuedAt = m.in(issued(), issued())
		return err
	})
	o.add("sunset", func(v string) error {
		ms, err := parseDuration(v)
		info.Sunset = &license.Sunset{Mode: 1, SilenceMS: ms, NoticeKey: []byte("notice")}
		return err
	})
	if err := o.read(words); err != nil {
		return fmt.Errorf("info: %w", err)
	}
	info.Issuer = ident.Issuer(issuer)
	if n != 0 {
		info.ID = ident.License{0: 1, 14: byte(n >> 8), 15: byte(n)}
	}
	if name == "" {
		return nil
	}
	at := slices.IndexFunc(s.specs, func(x *spec) bool { return x.name == name })
	if at < 0 || &s.specs[at].info == info {
		return fmt.Errorf("info: there is no license %q in front of this one", name)
	}
	info.Continues = &license.Continues{Issuer: s.specs[at].info.Issuer, ID: s.specs[at].info.ID}
	return nil
}
