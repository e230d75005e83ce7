package license_test

import (
	"crypto"
	"errors"
	"io"
	"testing"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
)

// counter is a signer that counts its signatures.
type counter struct {
	crypto.Signer
	made int
}

func (c *counter) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	c.made++
	return c.Signer.Sign(r, digest, opts)
}

// TestLicense_1_NothingIsSignedThatParseRefuses gives Sign what its fields do
// not show to be wrong: only who reads the encoding finds it.
func TestLicense_1_NothingIsSignedThatParseRefuses(t *testing.T) {
	other := func(k uint64, item ...byte) func(*license.Info) {
		return policy(func(p *license.Policy) { p.Other = map[uint64]wire.RawMessage{k: item} })
	}
	for name, tc := range map[string]struct {
		edit func(*license.Info)
		want error
	}{
		"unknown critical key":   {other(99, 1), license.ErrUnknownCritical},
		"key that has a field":   {other(1, 1), wire.ErrShape},
		"item not deterministic": {other(98, 0x18, 1), license.ErrMalformed},
		"item nested too deep":   {other(98, 0x81, 0x81, 0x81, 0x81, 0x80), license.ErrMalformed},
		"policy too long":        {other(98, append([]byte{0x59, 0x0f, 0xff}, make([]byte, 0xfff)...)...), license.ErrMalformed},
		"URL that is not UTF-8":  {func(i *license.Info) { i.StatusURL = "\xff" }, license.ErrMalformed},
		"output rules too long":  {func(i *license.Info) { i.Keys[0].Outputs = make([]byte, 256) }, license.ErrMalformed},
		"key of sunset too long": {func(i *license.Info) {
			i.Sunset = &license.Sunset{Mode: 1, SilenceMS: 400 * 86400_000, NoticeKey: make([]byte, 256)}
		}, license.ErrMalformed},
		"field wrong, not reached": {func(i *license.Info) { i.Version = 0 }, license.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			signer := &counter{Signer: fixedKey(t, 7)}
			out, err := license.Sign(signer, []byte("certificate"), newInfo(t, "PLAY", tc.edit))
			if !errors.Is(err, tc.want) || out != nil || signer.made != 0 {
				t.Errorf("got %d bytes, %v, %d signatures, want %v and none", len(out), err, signer.made, tc.want)
			}
		})
	}
}

// TestLicense_1_LongestLicense grows a license byte by byte over MaxSize: each
// one that Sign gives, Parse takes, and the longest has MaxSize bytes.
func TestLicense_1_LongestLicense(t *testing.T) {
	longest := 0
	for n := range 240 {
		out, err := license.Sign(fixedKey(t, 7), []byte("certificate"), newInfo(t, "PLAY", func(i *license.Info) {
			tier := i.Keys[0].Tier
			i.Keys = nil
			for k := range 31 {
				i.Keys = append(i.Keys, license.KeyRef{KID: ident.Key{1, byte(k)}, Tier: tier, Outputs: make([]byte, 212)})
			}
			i.Keys = append(i.Keys, license.KeyRef{KID: ident.Key{2}, Tier: tier, Outputs: make([]byte, n)})
		}))
		if err != nil {
			if !errors.Is(err, license.ErrMalformed) || !errors.Is(err, wire.ErrTooLarge) || longest == 0 {
				t.Fatalf("%d bytes of rules: %v", n, err)
			}
			continue
		}
		if _, err := license.Parse(out); err != nil || len(out) < longest {
			t.Fatalf("%d bytes of rules: signed, and Parse says %v", n, err)
		}
		longest = len(out)
	}
	if longest != license.MaxSize {
		t.Errorf("the longest license has %d bytes, want %d", longest, license.MaxSize)
	}
}
