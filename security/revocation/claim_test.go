package revocation

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
)

// TestPKI_2_Claim: a head is shown to who trusts the root, with every part of what shows it.
func TestPKI_2_Claim(t *testing.T) {
	h := newHouse(t)
	b := h.builder(t)
	s := h.at(t, b, 3, 3*time.Hour)
	good := NewClaim(s.Head().Bytes(), h.signer.Chain, nil, nil)
	data, err := good.Encode()
	must(t, err)
	c, err := ParseClaim(data)
	must(t, err)
	if head, err := c.Verify(h.Trust); err != nil || head.Epoch != s.Epoch() {
		t.Errorf("%+v, %v", head, err)
	}
	other := newHouse(t)
	forged := bytes.Clone(s.Head().Bytes())
	forged[17] ^= 1 // the number of the epoch
	for name, c := range map[string]Claim{
		"of another domain":      NewClaim(s.Head().Bytes(), other.signer.Chain, nil, nil),
		"with another number":    NewClaim(forged, h.signer.Chain, nil, nil),
		"signed by a device":     NewClaim(s.Head().Bytes(), h.Party(pki.Device).Chain, nil, nil),
		"with a wrong rotation":  NewClaim(s.Head().Bytes(), h.signer.Chain, nil, [][]byte{{1}}),
		"of another generation":  NewClaim(inGeneration(t, h, b, 1).Head().Bytes(), h.signer.Chain, nil, nil),
		"with a word of nobody":  NewClaim(inGeneration(t, h, b, 1).Head().Bytes(), h.signer.Chain, []byte{1, 2}, nil),
		"with another's chain's": NewClaim(s.Head().Bytes(), h.Party(pki.StateSigner).Chain, nil, nil),
	} {
		if _, err := c.Verify(h.Trust); !errors.Is(err, ErrSigner) && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrEpoch) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := good.Verify(other.Trust); !errors.Is(err, ErrSigner) {
		t.Errorf("under another root: %v, want ErrSigner", err)
	}
	for name, c := range map[string]Claim{
		"no chain":          NewClaim(s.Head().Bytes(), nil, nil, nil),
		"a head of 3 bytes": NewClaim([]byte{1, 2, 3}, h.signer.Chain, nil, nil),
		"17 rotations":      NewClaim(s.Head().Bytes(), h.signer.Chain, nil, make([][]byte, 17)),
		"a long chain":      NewClaim(s.Head().Bytes(), [][]byte{make([]byte, MaxClaim)}, nil, nil),
	} {
		if _, err := c.Encode(); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", name, err)
		}
	}
	changed, err := SignChange(h.CAs[pkitest.RootClass].Signer, h.Root, 1, h.signer.Key.Public())
	must(t, err)
	next := NewClaim(inGeneration(t, h, b, 1).Head().Bytes(), h.signer.Chain, changed, nil)
	if head, err := next.Verify(h.Trust); err != nil || head.Epoch.Generation != 1 {
		t.Errorf("the next generation, with the root's word: %v", err)
	}
}

func FuzzParseClaim(f *testing.F) {
	f.Add([]byte{0x85, 1, 0x40, 0x80, 0x40, 0x80})
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseClaim(data)
		if err != nil {
			return
		}
		if again, err := c.Encode(); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("a second encoding of one claim: %v", err)
		}
	})
}
