package home

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/lares-drm/lares/license/ident"
)

// Names and limits of TLS in the home. Source: local, docs/spec/lrp.md section 15.
const (
	// TLSName is the name that every certificate of a house's server has, and the
	// one that its devices expect: they know the house by its CA, not by where it is.
	TLSName = "lares.home.arpa"
	// PathTLS is where anybody may read the house's CA.
	PathTLS = "/pair/v1/ca"

	trustFile   = "tls.json"
	caLife      = 10 * 365 * 24 * time.Hour
	caRenew     = 365 * 24 * time.Hour // left when another CA is made
	serverLife  = 90 * 24 * time.Hour
	serverRenew = 30 * 24 * time.Hour // left when another certificate is made
	maxServed   = 32                  // certificates kept in memory
	backdated   = time.Hour           // for devices whose clocks are behind
)

// homeNames are the domains that a house's CA may certify: of local networks and
// of this machine, and no other in the world.
func homeNames() []string { return []string{"home.arpa", "local", "localhost"} }

// homeNets are the addresses that it may certify.
func homeNets() (out []*net.IPNet) {
	for _, s := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8", "fc00::/7", "fe80::/10", "::1/128"} {
		if _, n, err := net.ParseCIDR(s); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// TLS is the household's CA and the certificates of its server.
type TLS struct {
	ca     *x509.Certificate
	signer *ecdsa.PrivateKey
	key    *ecdsa.PrivateKey // of the server, of this process
	now    func() time.Time

	mu     sync.Mutex
	served map[served]*tls.Certificate // guarded by mu
}

// served is what a certificate is for.
type served struct {
	name string
	addr netip.Addr
}

// trustState is the file, mode 0600, because the CA's key is in it, and a member of a
// backup's part HOST, which is sealed. Source: local, docs/spec/backup.md.
type trustState struct {
	CA  []byte `json:"ca"`  // DER
	Key []byte `json:"key"` // PKCS#8
}

// OpenTLS reads the household's CA, or makes one where there is none or the old one
// has less than a year left. device is the house's module.
func OpenTLS(dir string, device ident.Device, now func() time.Time) (*TLS, error) {
	t, err := readTLS(dir, now)
	if err != nil {
		return nil, err
	}
	if t.ca == nil || t.ca.NotAfter.Sub(now()) < caRenew {
		if err := t.make(dir, device); err != nil {
			return nil, err
		}
	}
	if t.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, fmt.Errorf("home: make a key: %w", err)
	}
	return t, nil
}

// readTLS reads the household's CA, where there is one.
func readTLS(dir string, now func() time.Time) (*TLS, error) {
	t := &TLS{now: now, served: map[served]*tls.Certificate{}}
	var st trustState
	if info, err := os.Stat(filepath.Join(dir, trustFile)); err == nil && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("home: %s can be read by others than its owner: chmod 600", trustFile)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("home: %w", err)
	}
	err := load(dir, trustFile, &st)
	if err == nil && st.CA != nil {
		err = t.read(&st)
	}
	return t, err
}

// ErrNoCA is returned where a house has no CA yet.
var ErrNoCA = errors.New("home: this house has no CA yet: it is made when the house is served for the first time")

// CertifyRelay makes a key and a certificate under the household's CA, for a relay of
// this house: devices know it as they know the house. It is good for 90 days.
func CertifyRelay(dir string, now func() time.Time) (cert *tls.Certificate, ca *x509.Certificate, err error) {
	t, err := readTLS(dir, now)
	if err == nil && t.ca == nil {
		err = ErrNoCA
	}
	if err != nil {
		return nil, nil, err
	}
	if t.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, nil, fmt.Errorf("home: make a key: %w", err)
	}
	cert, err = t.issue(served{})
	return cert, t.ca, err
}

func (t *TLS) read(st *trustState) (err error) {
	if t.ca, err = x509.ParseCertificate(st.CA); err != nil {
		return fmt.Errorf("home: read the house's CA: %w", err)
	}
	key, err := x509.ParsePKCS8PrivateKey(st.Key)
	if err != nil {
		return fmt.Errorf("home: the key of the house's CA cannot be read: restore %s, or remove it and a new CA is made", trustFile)
	}
	signer, ok := key.(*ecdsa.PrivateKey)
	if !ok || !signer.PublicKey.Equal(t.ca.PublicKey) {
		return fmt.Errorf("home: the key in %s is not that of its CA: remove the file and a new CA is made", trustFile)
	}
	t.signer = signer
	return nil
}

// make makes the CA and its key, and keeps both before they are used.
func (t *TLS) make(dir string, device ident.Device) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("home: make a key: %w", err)
	}
	now := t.now()
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: fmt.Sprintf("Lares house %x", device[:4])},
		NotBefore: now.Add(-backdated), NotAfter: now.Add(caLife), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
		PermittedDNSDomainsCritical: true, PermittedDNSDomains: homeNames(), PermittedIPRanges: homeNets(),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return fmt.Errorf("home: make the house's CA: %w", err)
	}
	if t.ca, err = x509.ParseCertificate(der); err != nil {
		return fmt.Errorf("home: make the house's CA: %w", err)
	}
	t.signer = key
	st, err := t.state()
	if err != nil {
		return err
	}
	return save(dir, trustFile, st)
}

// state is what is kept of the CA, in its file and in a backup of the house.
func (t *TLS) state() (*trustState, error) {
	pkcs8, err := x509.MarshalPKCS8PrivateKey(t.signer)
	if err != nil {
		return nil, fmt.Errorf("home: encode the key of the house's CA: %w", err)
	}
	return &trustState{CA: t.ca.Raw, Key: pkcs8}, nil
}

func serial() *big.Int {
	var b [16]byte
	rand.Read(b[:]) // never returns an error
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b[:])
}

// CA is the certificate that browsers and devices are told to trust, DER.
func (t *TLS) CA() []byte { return t.ca.Raw }

// CASum is SHA-256 of CA, as the house's signed HELLO says it.
func (t *TLS) CASum() [32]byte { return sha256.Sum256(t.ca.Raw) }

// Config is the server's side, for HTTP/2 and HTTP/1.1.
func (t *TLS) Config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, GetCertificate: t.certificate}
}

// certificate is one for the name and the address that a client came to, made now
// or kept, and another one when that has less than 30 days left.
func (t *TLS) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	want := served{}
	if inHome(hello.ServerName) {
		want.name = strings.ToLower(hello.ServerName)
	}
	if hello.Conn != nil {
		if at, err := netip.ParseAddrPort(hello.Conn.LocalAddr().String()); err == nil {
			want.addr = at.Addr().Unmap().WithZone("")
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if had := t.served[want]; had != nil && had.Leaf.NotAfter.Sub(t.now()) >= serverRenew {
		return had, nil
	}
	made, err := t.issue(want)
	if err != nil {
		return nil, err
	}
	if len(t.served) >= maxServed { // somebody asks for many names; those in use are made again
		clear(t.served)
	}
	t.served[want] = made
	return made, nil
}

func inHome(name string) bool {
	name = strings.ToLower(name)
	for _, d := range homeNames() {
		if name == d || strings.HasSuffix(name, "."+d) {
			return len(name) <= 253
		}
	}
	return false
}

func (t *TLS) issue(want served) (*tls.Certificate, error) {
	now := t.now()
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: TLSName}, DNSNames: []string{TLSName, "localhost"},
		NotBefore: now.Add(-backdated), NotAfter: now.Add(serverLife), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if want.name != "" && want.name != TLSName && want.name != "localhost" {
		template.DNSNames = append(template.DNSNames, want.name)
	}
	for _, n := range homeNets() {
		if ip := net.IP(want.addr.AsSlice()); want.addr.IsValid() && n.Contains(ip) {
			template.IPAddresses = []net.IP{ip}
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, t.ca, t.key.Public(), t.signer)
	if err != nil {
		return nil, fmt.Errorf("home: make a certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("home: make a certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der, t.ca.Raw}, PrivateKey: t.key, Leaf: leaf}, nil
}

// TLSClient is a device's side: it trusts this CA and nobody else, wherever the
// house's server is.
func TLSClient(ca []byte) (*tls.Config, error) {
	cert, err := x509.ParseCertificate(ca)
	if err != nil || !cert.IsCA {
		return nil, errors.New("home: not the certificate of a house's CA")
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool, ServerName: TLSName}, nil
}
