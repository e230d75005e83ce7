package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home/hometest"
)

// A pairing takes the house's CA from no device: neither while the owner has not decided,
// nor when the house was restored and its server is another one, without TLS. In another
// house a device begins anew.
func TestHomeTLS_APairingTakesNoCA(t *testing.T) {
	before, other := ident.Domain{7}, ident.Domain{8}
	for name, tc := range map[string]struct {
		scheme  string
		known   bool         // the device has seen its house by TLS
		into    ident.Domain // that it is in afterwards
		decide  bool
		want    error // nil: it is paired
		refused bool
	}{
		"not decided":               {"http", true, before, false, context.Canceled, false},
		"a restored house":          {"http", true, before, true, errStripped, true},
		"a restored house by https": {"https", true, before, true, errNoTLS, true},
		"another house":             {"http", true, other, true, nil, false},
		"another house by https":    {"https", true, other, true, errNoTLS, true},
		"first contact":             {"http", false, before, true, nil, false},
		"first contact by https":    {"https", false, before, true, errNoTLS, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := serveHouse(t)
			leaf, _ := hometest.Keyed(t, "tablet")
			st := &trem.Status{Chain: [][]byte{leaf}, Delivery: []byte("delivery")}
			cfg := deviceConfig{}
			if tc.known {
				st.Domain = before
				cfg = deviceConfig{Home: "https://192.0.2.1:7710", Server: ident.Device{1}, CA: []byte("CA")}
			}
			var joined atomic.Bool
			d := &device{dir: t.TempDir(), now: time.Now, cfg: cfg, trem: standIn(t, st, func() { joined.Store(true); st.Domain = tc.into })}
			if err := errors.Join(d.save(), os.WriteFile(filepath.Join(d.dir, personFile), []byte(`{"person":{"age":9}}`), 0o600)); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- d.pair(ctx, typed(""), strings.Replace(h.url, "http", tc.scheme, 1), "tablet") }()
			for waits := true; waits; time.Sleep(5 * time.Millisecond) {
				for _, p := range h.Pending() {
					if waits = p.Code == ""; waits {
						continue
					}
					if !tc.decide {
						cancel()
					} else if _, err := h.Approve(t.Context(), p.ID, p.Code); err != nil {
						t.Fatal(err)
					}
				}
			}
			err := <-done
			if !errors.Is(err, tc.want) || tc.want != nil && err == nil {
				t.Errorf("%v, want %v", err, tc.want)
			}
			if e, ok := errors.AsType[*exitError](err); tc.refused && (!ok || e.code != statusRefused) {
				t.Errorf("the status of %v", err)
			}
			if want := tc.want == nil || name == "a restored house"; joined.Load() != want { // which only the module tells from another one
				t.Errorf("the module has joined: %v, want %v", !want, want)
			}
			want := cfg
			if tc.want == nil {
				want = deviceConfig{Home: h.url, Server: h.module.State.Device}
			}
			if _, err := os.Stat(filepath.Join(d.dir, personFile)); errors.Is(err, os.ErrNotExist) != (tc.want == nil) {
				t.Errorf("whose it was in the house before: %v", err)
			}
			kept := &device{dir: d.dir}
			if err := kept.load(); err != nil {
				t.Fatal(err)
			}
			for where, got := range map[string]deviceConfig{"kept": kept.cfg, "in use": d.cfg} {
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s: %s", where, diff)
				}
			}
		})
	}
}
