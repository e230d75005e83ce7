package cli

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lares-drm/lares/content/film"
	"github.com/lares-drm/lares/internal/issuerapi"
	"github.com/lares-drm/lares/internal/operator"
)

// An owner makes keys; a packager pushes a title with one; the log says so, is
// exported, holds, and does not when it is changed.
func TestDesk_EndToEnd(t *testing.T) {
	s := newShopTest(t)
	shop := s.path("shop")
	token := s.path("packager.token")
	var key operator.Key
	s.ok(s.query(t.Context(), &key, "issuer", "key", "new", "packager", "--role", "issuer", "--scopes", "read,shelf", "--out", token, "--dir", shop))
	if info, err := os.Stat(token); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the token's file: %v, %v", info, err)
	}
	in := s.path("in.mp4")
	picture, err := film.Files.ReadFile(film.SD)
	s.ok(err)
	s.ok(os.WriteFile(in, picture, 0o600))
	pack := []string{"pack", in, "--title", "Pushed", "--content", "pushed", "--to", filepath.Join(shop, issuerDelivery), "--out", s.path("packed"), "--push", s.url, "--push-token", token}
	if out := s.do(pack...); !strings.Contains(out, "the issuer at "+s.url+" has the keys") {
		t.Errorf("pack --push: %s", out)
	}
	if out := s.do("issuer", "content", "list", "--dir", shop); !strings.Contains(out, "pushed") {
		t.Errorf("content list: %s", out)
	}
	if out := s.do("issuer", "key", "list", "--dir", shop); !strings.Contains(out, key.ID.String()) || !strings.Contains(out, "packager") {
		t.Errorf("key list: %s", out)
	}
	s.do("issuer", "key", "revoke", key.ID.String(), "--dir", shop)
	pack[9] = s.path("again")
	if a, err := s.run(t.Context(), pack...); err != nil || a.code != statusRefused {
		t.Errorf("with a revoked key: status %d, %v, %s", a.code, err, a.stderr)
	}
	export := s.path("audit.jsonl")
	if out := s.do("issuer", "audit", "export", export, "--dir", shop); !strings.Contains(out, "is whole: ") {
		t.Errorf("audit export: %s", out)
	}
	s.do("issuer", "audit", "verify", "--dir", shop)
	s.do("issuer", "audit", "verify", export, "--key", filepath.Join(shop, issuerAuditPub))
	data, err := os.ReadFile(export)
	s.ok(err)
	s.ok(os.WriteFile(export, bytes.Replace(data, []byte(`"action":"key.revoke"`), []byte(`"action":"key.invent"`), 1), 0o600))
	if a, err := s.run(t.Context(), "issuer", "audit", "verify", export, "--dir", shop); err != nil || a.code != statusCheck || !strings.Contains(a.stdout, "was changed") {
		t.Errorf("a changed export: status %d, %v, %s%s", a.code, err, a.stdout, a.stderr)
	}
	var who issuerapi.Whoami
	s.ok(askIssuer(t.Context(), shop, http.MethodGet, "/api/v1/whoami", nil, &who))
	if who.Actor != "owner" || !who.Alone {
		t.Errorf("whoami: %+v", who)
	}
}

func TestIssuer_MetricsStayOnThisMachine(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "192.0.2.1:9720", "9720"} {
		if l, err := listenMetrics(t.Context(), address); err == nil {
			l.Close()
			t.Errorf("%s is served", address)
		}
	}
	l, err := listenMetrics(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}
