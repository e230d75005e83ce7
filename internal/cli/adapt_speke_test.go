package cli

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/interconnect/adapt/cpix"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/issuer"
)

const spekeRequest = `<cpix:CPIX xmlns:cpix="urn:dashif:org:cpix" contentId="packaged-film" version="2.3"><cpix:ContentKeyList>` +
	`<cpix:ContentKey kid="0f083e4e-b831-4a3d-917e-ce78076e54aa" commonEncryptionScheme="cbcs"/></cpix:ContentKeyList><cpix:DRMSystemList>` +
	`<cpix:DRMSystem kid="0f083e4e-b831-4a3d-917e-ce78076e54aa" systemId="1077efec-c0b2-4d02-ace3-3c1e52e2fb4b"><cpix:PSSH/></cpix:DRMSystem></cpix:DRMSystemList>` +
	`<cpix:ContentKeyUsageRuleList><cpix:ContentKeyUsageRule kid="0f083e4e-b831-4a3d-917e-ce78076e54aa" intendedTrackType="HD"><cpix:VideoFilter maxPixels="2073600"/></cpix:ContentKeyUsageRule></cpix:ContentKeyUsageRuleList></cpix:CPIX>`

// A packager asks a real issuer for keys, and its module has them: the content
// can be sold.
func TestSPEKE_IssuerServesPackagers(t *testing.T) {
	s := newShopTest(t)
	s.ok(os.WriteFile(s.path("packagers"), []byte("packager:sixteen letters!\n"), 0o600))
	if resp, err := http.Get(s.url + cpix.SPEKEPath); err != nil || resp.StatusCode != 404 { //nolint:noctx // one local request
		t.Errorf("an issuer without --speke answers: %v, %v", resp, err)
	} else {
		resp.Body.Close() //nolint:errcheck,gosec // nothing is read
	}
	s.ok(s.stop("shop"))
	url, err := s.serve("packing", "issuer", "serve", "--dir", s.path("shop"), "--listen", "127.0.0.1:0", "--speke", s.path("packagers"), "--speke-clear")
	s.ok(err)
	ask := func(body, password string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+cpix.SPEKEPath, strings.NewReader(body))
		s.ok(err)
		r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("packager:"+password)))
		r.Header.Set("Content-Type", "application/xml")
		r.Header.Set("X-Speke-Version", "2.0")
		resp, err := http.DefaultClient.Do(r)
		s.ok(err)
		defer resp.Body.Close() //nolint:errcheck // read to its end
		out, err := io.ReadAll(resp.Body)
		s.ok(err)
		return resp.StatusCode, string(out)
	}
	status, first := ask(spekeRequest, "sixteen letters!")
	if status != 200 || !strings.Contains(first, "PlainValue") {
		t.Fatalf("%d %s", status, first)
	}
	if status, again := ask(spekeRequest, "sixteen letters!"); status != 200 || again != first {
		t.Errorf("a second request: %d %s", status, again)
	}
	if status, out := ask(strings.ReplaceAll(spekeRequest, "0f083e4e", "1f083e4e"), "sixteen letters!"); status != 409 {
		t.Errorf("other keys for the same content: %d %s", status, out)
	}
	if status, _ := ask(spekeRequest, "sixteen letters?"); status != 401 {
		t.Errorf("another password: %d", status)
	}
	if out := s.do("issuer", "content", "list", "--dir", s.path("shop")); !strings.Contains(out, "packaged-film") {
		t.Errorf("the issuer's module has not got the content:\n%s", out)
	}
	if info, err := os.Stat(s.path("shop", spekeSecret)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the secret: %v, %v", info.Mode(), err)
	}
}

// Keys are given out only after the module took them, and follow from the
// secret, the content and the key ID alone.
func TestSPEKE_KeysAreDeliveredFirst(t *testing.T) {
	dir := t.TempDir()
	secret, err := keptSecret(filepath.Join(dir, spekeSecret))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := keptSecret(filepath.Join(dir, spekeSecret)); err != nil || !bytes.Equal(again, secret) {
		t.Errorf("the secret is not kept: %v", err)
	}
	_, der := deliveryCertificate(t)
	asked := []cpix.TrackKey{{KID: ident.Key{1}, Tier: content.HD}, {KID: ident.Key{2}, Tier: content.Audio}}
	k := &spekeKeys{secret: secret, delivery: der}
	k.register = func(context.Context, []byte) (issuer.Content, error) {
		return issuer.Content{}, errors.New("disk full")
	}
	if _, err := k.ContentKeys(t.Context(), "film", asked); err == nil {
		t.Error("keys of a content that the module has not got")
	}
	k.register = func(context.Context, []byte) (issuer.Content, error) {
		return issuer.Content{}, &trem.Error{Code: trem.CodeRejected}
	}
	if _, err := k.ContentKeys(t.Context(), "film", asked); !errors.Is(err, cpix.ErrContent) {
		t.Errorf("a content with other keys: %v", err)
	}
	delivered := 0
	k.register = func(context.Context, []byte) (issuer.Content, error) { delivered++; return issuer.Content{}, nil }
	a, err := k.ContentKeys(t.Context(), "film", asked)
	if err != nil || delivered != 1 {
		t.Fatal(err)
	}
	b, err := k.ContentKeys(t.Context(), "film", asked)
	if err != nil || !a[0].Equal(b[0]) || !a[1].Equal(b[1]) || a[0].Equal(a[1]) {
		t.Errorf("a second answer differs, or two keys are one (%v)", err)
	}
	if c, err := k.ContentKeys(t.Context(), "another film", asked); err != nil || c[0].Equal(a[0]) {
		t.Errorf("two contents have one key (%v)", err)
	}
	if err := os.Chmod(filepath.Join(dir, spekeSecret), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := keptSecret(filepath.Join(dir, spekeSecret)); err == nil {
		t.Error("a secret that others can read is used")
	}
}
