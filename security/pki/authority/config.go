package authority

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/lares-drm/lares/security/pki"
)

// Config is a ceremony's one reviewed input. Zero values become the defaults
// named here. Source: local, docs/spec/certificates.md.
type Config struct {
	Name            string       `json:"name"`              // of the trust domain, 1 to 40 bytes; default "Lares"
	Manufacturer    string       `json:"manufacturer"`      // default the domain's name
	FirstClass      pki.Class    `json:"first_class"`       // the manufacturer's range; default 4096
	LastClass       pki.Class    `json:"last_class"`        // default first_class + 4095
	SpareRoots      int          `json:"spare_roots"`       // made at once, to follow the root when its key is lost; at most 2, default 0
	DeviceClass     string       `json:"device_class"`      // name of the first device class; default "software TREM"
	Levels          []pki.Level  `json:"levels"`            // that CAs may grant; default SL1
	Anchors         []pki.Anchor `json:"anchors"`           // likewise; default A0
	HomeServerDays  int          `json:"home_server_days"`  // validity; default 366, at most 731
	ProviderDays    int          `json:"provider_days"`     // default 366, at most 731
	IssuerDays      int          `json:"issuer_days"`       // default 90, at most 90
	SignerDays      int          `json:"signer_days"`       // default 366, at most 366
	NextUpdateHours int          `json:"next_update_hours"` // between epochs; default 24, at most 720
	Keys            KeyPlan      `json:"keys,omitzero"`     // where keys are made; default: in files of the folder
}

// Classes of what is issued right below the first-level CAs. Source: local, docs/spec/certificates.md.
const (
	RootClass       pki.Class = 0 // first-level CAs and signers
	ProviderClass   pki.Class = 1
	IssuerClass     pki.Class = 2
	HomeServerClass pki.Class = 3
)

// firstFree is the lowest class that a manufacturer may have.
const firstFree pki.Class = 16

// ErrConfig is returned for a ceremony that cannot be held.
var ErrConfig = errors.New("authority: ceremony")

// ParseConfig reads a ceremony file: JSON, unknown keys refused.
func ParseConfig(data []byte) (Config, error) {
	var c Config
	if err := strictJSON(data, &c); err != nil {
		return c, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return c.WithDefaults()
}

// strictJSON reads one JSON value, unknown keys refused.
func strictJSON(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	return nil
}

// WithDefaults fills in what is zero and checks the rest.
func (c Config) WithDefaults() (Config, error) {
	if c.Name == "" {
		c.Name = "Lares"
	}
	if c.Manufacturer == "" {
		c.Manufacturer = c.Name
	}
	if c.DeviceClass == "" {
		c.DeviceClass = "software TREM"
	}
	if c.FirstClass == 0 {
		c.FirstClass = 4096
	}
	if c.LastClass == 0 {
		c.LastClass = c.FirstClass + 4095
	}
	if len(c.Levels) == 0 {
		c.Levels = []pki.Level{pki.SL1}
	}
	if len(c.Anchors) == 0 {
		c.Anchors = []pki.Anchor{pki.A0}
	}
	for _, d := range []struct {
		what       string
		value      *int
		usual, max int
	}{
		{"home_server_days", &c.HomeServerDays, 366, pki.MaxDays(pki.HomeServer)},
		{"provider_days", &c.ProviderDays, 366, pki.MaxDays(pki.ContentProvider)},
		{"issuer_days", &c.IssuerDays, 90, pki.MaxDays(pki.LicenseIssuer)},
		{"signer_days", &c.SignerDays, 366, pki.MaxDays(pki.StateSigner)},
		{"next_update_hours", &c.NextUpdateHours, 24, 720},
	} {
		if *d.value == 0 {
			*d.value = d.usual
		}
		if *d.value < 1 || *d.value > d.max {
			return c, fmt.Errorf("%w: %s is %d, want 1 to %d", ErrConfig, d.what, *d.value, d.max)
		}
	}
	return c, c.check()
}

func (c *Config) check() error {
	if c.SpareRoots < 0 || c.SpareRoots > 2 {
		return fmt.Errorf("%w: spare_roots is %d, want 0 to 2", ErrConfig, c.SpareRoots)
	}
	for _, name := range []string{c.Name, c.Manufacturer, c.DeviceClass} {
		if len(name) > 40 {
			return fmt.Errorf("%w: a name has at most 40 bytes", ErrConfig)
		}
	}
	if c.FirstClass < firstFree || c.LastClass <= c.FirstClass || c.LastClass == pki.MaxClass {
		return fmt.Errorf("%w: class range %v to %v, want two or more from %v", ErrConfig, c.FirstClass, c.LastClass, firstFree)
	}
	for _, l := range c.Levels {
		if !l.Valid() {
			return fmt.Errorf("%w: level %d", ErrConfig, l)
		}
	}
	for _, a := range c.Anchors {
		if !a.Valid() {
			return fmt.Errorf("%w: anchor %d", ErrConfig, a)
		}
	}
	return c.Keys.Check()
}

// days is the validity of an end entity, 0 for never.
func (c *Config) days(r pki.Role) int {
	switch r {
	case pki.HomeServer:
		return c.HomeServerDays
	case pki.ContentProvider:
		return c.ProviderDays
	case pki.LicenseIssuer:
		return c.IssuerDays
	case pki.StateSigner, pki.TimeSigner:
		return c.SignerDays
	case pki.Device:
	}
	return 0
}
