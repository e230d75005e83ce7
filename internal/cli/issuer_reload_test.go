package cli

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/issuerapi"
	"github.com/lares-drm/lares/internal/needs"
)

// writeTLS makes a certificate with a serial number and writes it with its key.
func (s *shopTest) writeTLS(serial int64) {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	s.ok(err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "shop"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	s.ok(err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	s.ok(err)
	s.ok(writeDurably(s.path("cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	s.ok(writeDurably(s.path("key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
}

// asked is the serial number that a new connection was shown, and a status.
func asked(ctx context.Context, url, token string) (serial int64, status int, err error) {
	tr := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // the test looks at the serial number
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/v1/offers", nil)
	if err != nil {
		return 0, 0, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := client.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer res.Body.Close()
	if _, err = io.Copy(io.Discard, res.Body); err == nil && res.ProtoMajor != 2 {
		err = fmt.Errorf("it came by %s", res.Proto)
	}
	return res.TLS.PeerCertificates[0].SerialNumber.Int64(), res.StatusCode, err
}

// TestIssuer_HangupDropsNoRequest exchanges certificate and token under load: every
// request is answered, by the old ones or the new ones; what cannot be read changes nothing.
func TestIssuer_HangupDropsNoRequest(t *testing.T) {
	needs.Long(t)
	s := newShopTest(t)
	s.ok(s.stop("shop"))
	s.writeTLS(1)
	url, err := s.serve("shop", "issuer", "serve", "--dir", s.path("shop"), "--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0", "--tls-cert", s.path("cert.pem"), "--tls-key", s.path("key.pem"))
	s.ok(err)
	var about issuerapi.About
	res, err := http.Get(url + "/api/v1/about") //nolint:noctx // a short test
	s.ok(err)
	s.ok(json.NewDecoder(res.Body).Decode(&about))
	s.ok(res.Body.Close())
	secure, _, _ := strings.Cut(about.Status, "/status")
	old, err := secretFile(s.path("shop", issuerToken))
	s.ok(err)

	var served, answered atomic.Int64 // the newest serial number, and how many requests
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				serial, status, err := asked(t.Context(), secure, old)
				if err != nil || status != http.StatusOK && status != http.StatusUnauthorized {
					t.Errorf("a request was dropped: %d, %v", status, err)
					return
				}
				answered.Add(1)
				served.Store(max(served.Load(), serial))
			}
		})
	}
	hangUp := func(until func() bool) bool {
		s.mu.Lock()
		p := s.procs["shop"]
		s.mu.Unlock()
		s.ok(p.cmd.Process.Signal(syscall.SIGHUP))
		for from := time.Now(); time.Since(from) < startGrace; time.Sleep(10 * time.Millisecond) {
			if until() {
				return true
			}
		}
		return false
	}
	for serial := int64(2); serial <= 6; serial++ {
		s.writeTLS(serial)
		if !hangUp(func() bool { return served.Load() == serial }) {
			t.Fatalf("certificate %d was not taken", serial)
		}
	}
	sum := sha256.Sum256([]byte("another token"))
	s.ok(writeDurably(s.path("shop", issuerTokenHash), []byte(hex.EncodeToString(sum[:]))))
	s.ok(os.WriteFile(s.path("cert.pem"), []byte("no certificate"), 0o600))
	before := answered.Load()
	hangUp(func() bool { return answered.Load() > before+20 })
	if _, status, err := asked(t.Context(), secure, old); status != http.StatusOK || err != nil {
		t.Errorf("a certificate that cannot be read: %d, %v; the old token was to stay", status, err)
	}
	s.writeTLS(7)
	if !hangUp(func() bool { return served.Load() == 7 }) {
		t.Error("certificate 7 was not taken")
	}
	close(stop)
	wg.Wait()
	if _, status, _ := asked(t.Context(), secure, old); status != http.StatusUnauthorized {
		t.Errorf("the old token: %d", status)
	}
	if _, status, _ := asked(t.Context(), secure, "another token"); status != http.StatusOK {
		t.Errorf("the new token: %d", status)
	}
	drains(t, s, url)
}

// drains ends the issuer while a request is half sent: it is answered, and the
// process ends with 0.
func drains(t *testing.T, s *shopTest, url string) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://")) //nolint:noctx // a short test
	s.ok(err)
	defer c.Close()
	fmt.Fprintf(c, "POST /lrp/v1/frames HTTP/1.1\r\nHost: shop\r\nContent-Type: application/lares-lrp-frame+cbor\r\nExpect: 100-continue\r\nContent-Length: 6\r\n\r\n")
	in := bufio.NewReader(c)
	for _, want := range []string{"HTTP/1.1 100 Continue\r\n", "\r\n"} { // the request has begun
		if got, err := in.ReadString('\n'); got != want {
			t.Fatalf("%q, want %q (%v)", got, want, err)
		}
	}
	fmt.Fprint(c, "abc")
	ended := make(chan error, 1)
	go func() { ended <- s.stop("shop") }()
	for from := time.Now(); time.Since(from) < startGrace; time.Sleep(10 * time.Millisecond) {
		n, err := net.Dial("tcp", strings.TrimPrefix(url, "http://")) //nolint:noctx // as above
		if err != nil {
			break // nobody else is let in
		}
		n.Close()
	}
	fmt.Fprint(c, "def")
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != http.StatusBadRequest {
		t.Fatalf("a request that had begun: %v, %v", res, err)
	}
	res.Body.Close()
	s.ok(<-ended)
}
