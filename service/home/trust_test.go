package home_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/home"
)

// met is what a client sees of a house's server at an address and a name.
func met(t *testing.T, server *tls.Config, client *tls.Config) (*x509.Certificate, error) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if conn, err := l.Accept(); err == nil {
			_ = conn.(*tls.Conn).HandshakeContext(context.Background())
			_ = conn.Close()
		}
	}()
	conn, err := (&tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}, Config: client}).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}

func openTLS(t *testing.T, dir string, now *time.Time) *home.TLS {
	t.Helper()
	h, err := home.OpenTLS(dir, ident.Device{1, 2, 3, 4}, func() time.Time { return *now })
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// A device trusts its house's CA and nothing else; a server's certificate is renewed,
// the CA stays, over restarts too, and is made anew before it ends.
func TestHomeTLS_CertificatesAreRenewedUnderOneCA(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	h := openTLS(t, dir, &now)
	info, err := os.Stat(filepath.Join(dir, "tls.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("tls.json: %v, %v", info, err)
	}
	client, err := home.TLSClient(h.CA())
	if err != nil {
		t.Fatal(err)
	}
	client.Time = func() time.Time { return now }
	first, err := met(t, h.Config(), client)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := met(t, h.Config(), client); err != nil || !again.Equal(first) {
		t.Errorf("another certificate on the same day: %v", err)
	}
	now = now.Add(61 * 24 * time.Hour)
	second, err := met(t, h.Config(), client)
	if err != nil || second.Equal(first) {
		t.Errorf("it is not renewed with less than 30 days left: %v", err)
	}
	if again := openTLS(t, dir, &now); !slices.Equal(again.CA(), h.CA()) {
		t.Error("another CA after a restart")
	}
	stranger := openTLS(t, t.TempDir(), &now)
	if _, err := met(t, stranger.Config(), client); err == nil {
		t.Error("another house is taken for this one")
	}
	now = now.Add(9 * 365 * 24 * time.Hour)
	if again := openTLS(t, dir, &now); slices.Equal(again.CA(), h.CA()) {
		t.Error("the CA is not made anew in its last year")
	}
}

// The CA's key is for this house: it certifies no name and no address of the world,
// whoever gets it.
func TestHomeTLS_CANamesTheHomeOnly(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	h := openTLS(t, dir, &now)
	ca, err := x509.ParseCertificate(h.CA())
	if err != nil {
		t.Fatal(err)
	}
	if !ca.PermittedDNSDomainsCritical || !ca.MaxPathLenZero || !slices.Equal(ca.PermittedDNSDomains, []string{"home.arpa", "local", "localhost"}) || len(ca.PermittedIPRanges) != 8 {
		t.Errorf("constraints %v %v", ca.PermittedDNSDomains, ca.PermittedIPRanges)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	for name, ok := range map[string]bool{"living-room.local": true, "localhost": true, home.TLSName: true, "127.0.0.1": true, "bank.example": false, "local.example": false, "10.0.0.1": false} {
		_, err := met(t, h.Config(), &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool, ServerName: name})
		if (err == nil) != ok {
			t.Errorf("%s: %v, want it certified: %v", name, err, ok)
		}
	}
}

// A file that others can read, or with another key, is not used and not replaced.
func TestHomeTLS_BadFiles(t *testing.T) {
	now := time.Now()
	for name, spoil := range map[string]func(path string) error{
		"readable": func(p string) error { return os.Chmod(p, 0o644) },
		"cut":      func(p string) error { return os.Truncate(p, 100) },
		"no CA":    func(p string) error { return os.WriteFile(p, []byte(`{"ca":"AAAA","key":"AAAA"}`), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			openTLS(t, dir, &now)
			file := filepath.Join(dir, "tls.json")
			if err := spoil(file); err != nil {
				t.Fatal(err)
			}
			before, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := home.OpenTLS(dir, ident.Device{}, time.Now); err == nil {
				t.Error("it is used")
			}
			if after, err := os.ReadFile(file); err != nil || !slices.Equal(before, after) {
				t.Errorf("it is replaced (%v)", err)
			}
		})
	}
}
