package content_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
)

// spec reads the hexadecimal blocks of a specification page by their names.
func spec(t *testing.T, page string) map[string][]byte {
	t.Helper()
	md, err := os.ReadFile("../docs/spec/" + page)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for _, m := range regexp.MustCompile("(?s)```hex ([a-z-]+)\n(.*?)```").FindAllSubmatch(md, -1) {
		b, err := hex.DecodeString(strings.Join(strings.Fields(string(m[2])), ""))
		if err != nil || len(b) == 0 {
			t.Fatalf("%s: block %s: %v", page, m[1], err)
		}
		out[string(m[1])] = b
	}
	return out
}

func TestSpec_KeyDelivery_WorkedExample(t *testing.T) {
	ex := spec(t, "key-delivery.md")
	priv, err := ecdh.P256().NewPrivateKey(ex["private-key"])
	if err != nil {
		t.Fatal(err)
	}
	d, err := content.OpenKeys(priv, ex["certificate"], ex["blob"])
	if err != nil {
		t.Fatal(err)
	}
	if d.Content != "film" || d.DurationMS != 60_000 || len(d.Keys) != 2 {
		t.Fatalf("opened %v", d)
	}
	var keys []any
	for i, want := range []content.TierKey{{KID: kid1, Tier: content.Audio, BPS: 6000}, {KID: kid2, Tier: content.HD, BPS: 90_000}} {
		k := d.Keys[i]
		if k.KID != want.KID || k.Tier != want.Tier || k.BPS != want.BPS {
			t.Errorf("key %d: %v, want %v", i, k, want)
		}
		raw, err := k.Key.Reveal()
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, []any{k.KID, uint64(k.Tier), raw[:], k.BPS})
	}
	plain, err := wire.Marshal([]any{d.Content, d.DurationMS, keys})
	if err != nil || !bytes.Equal(plain, ex["plaintext"]) {
		t.Errorf("plaintext %x, %v", plain, err)
	}
	sum := sha256.Sum256(ex["certificate"])
	if want := append([]byte("lares/1/key-delivery"), sum[:]...); !bytes.Equal(want, ex["info"]) {
		t.Errorf("info %x", want)
	}
	if x := wire.X5T(ex["certificate"]); !bytes.Equal(ex["blob"][3:11], x[:]) {
		t.Errorf("x5t %x", x)
	}
}

func TestSpec_Content_WorkedExample(t *testing.T) {
	ex := spec(t, "content.md")
	in := parseInit(t, ex["init"])
	got, err := in.Clear(ex["init"])
	if err != nil || !bytes.Equal(got, ex["clear-init"]) {
		t.Errorf("clear init segment %x, %v", got, err)
	}
	seg := bytes.Clone(ex["fragment"])
	f, err := in.Fragment(seg)
	if err != nil {
		t.Fatal(err)
	}
	if start, _ := f.Time(); start != 2000 || f.Bytes() != 16 {
		t.Errorf("start %d, %d bytes", start, f.Bytes())
	}
	err = f.Decrypt(func(kid ident.Key) (cenc.ContentKey, error) {
		if kid.String() != "6b657920-4944-206e-756d-62657220312e" {
			t.Errorf("key ID %v", kid)
		}
		return cenc.NewContentKey(bytes.Repeat([]byte{1}, 16))
	})
	if err != nil || !bytes.Equal(seg, ex["clear-fragment"]) {
		t.Errorf("clear fragment %x, %v", seg, err)
	}
}
