package cli

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/service/home"
)

// tlsTry bounds the first visit to a house by HTTPS, and each question about who it
// is: one that takes the connection and says nothing is away. Source: local.
const tlsTry = 5 * time.Second

// web is how this device speaks to its house: by HTTPS under the house's own CA,
// when it knows that. Redirects are not followed.
func (d *device) web() *http.Client {
	if d.client == nil {
		d.client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		way := http.DefaultTransport
		if strings.HasPrefix(d.cfg.Home, "https://") && !d.remote() {
			way = &pinned{d: d}
		}
		d.client.Transport = &proving{d: d, way: way}
	}
	return d.client
}

// plain is the house's address without TLS: what is asked there is signed.
func (d *device) plain() string {
	return "http://" + strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(d.cfg.Home, "https://"), "http://"), "/")
}

// errStripped is where HTTPS was the way to a house, and is none any more.
var errStripped = errors.New("this device has spoken to this house by HTTPS, and now nothing answers by that: somebody may be in between, or a relay without TLS. Give the relay a certificate of the house (lares home certify); or let the device leave the house (lares device leave) and pair it anew")

// errNoTLS is where the owner wrote https, and that is no way to the house.
var errNoTLS = errors.New("nothing answers there by HTTPS under the CA of this house: the house, or a relay before it, has no TLS, or somebody is in between. Give the relay a certificate of the house (lares home certify); or pair by an address with http, where who is in the network sees which titles this device asks for")

// secure has the device speak to its house by HTTPS from now on, where the house's
// module says by which CA. On this machine it does so only when the owner wrote https, or
// the device has a house by HTTPS: nobody listens there. At a first contact a house, or a
// relay before it, without TLS is no error, unless the owner wrote https: bare is true
// then, and who pairs is told so. seen is that it has spoken to this server by TLS: it does
// without it no more, or whoever is in between would only have to keep the two from it.
func (d *device) secure(ctx context.Context, asked, had, seen bool) (bare bool, err error) {
	u, err := url.Parse(d.cfg.Home)
	if err != nil {
		return false, fmt.Errorf("the house's address: %w", err)
	}
	ip := net.ParseIP(u.Hostname())
	here := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if here && !asked && !had {
		return false, nil
	}
	ca, err := d.learnCA(ctx)
	if err != nil {
		return false, err
	}
	u.Scheme = "https"
	if ca == nil || !answersTLS(ctx, ca, u.JoinPath(home.PathTLS).String()) {
		switch {
		case seen:
			return false, refused("%w", errStripped)
		case asked:
			return false, refused("%w", errNoTLS)
		}
		return !here, nil // what is carried is protected without
	}
	d.cfg.CA, d.cfg.Home = ca, u.String()
	d.client, d.link = nil, nil
	return false, nil
}

// answersTLS reports whether HTTPS under a CA gets an answer at an address.
func answersTLS(ctx context.Context, ca []byte, at string) bool {
	ctx, cancel := context.WithTimeout(ctx, tlsTry)
	defer cancel()
	tr, err := trusting(ca)
	if err != nil {
		return false
	}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return false
	}
	res, err := tr.RoundTrip(req)
	if err != nil {
		return false
	}
	return res.Body.Close() == nil
}

// learnCA asks who the house is, without TLS, and takes the CA that the house's
// module itself has signed for; nil where it has none. It does not say who asks.
func (d *device) learnCA(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, tlsTry)
	defer cancel()
	bare := &lrphttp.Client{URL: d.plain()}
	hello, err := lrp.Recognize(ctx, lrp.Addr(lrp.NewTx()), lrp.Addr(d.cfg.Server), lrp.DefaultHello("http"), d.now(), func(ctx context.Context, _ lrp.LinkID, f lrp.Frame) ([]lrp.Frame, error) {
		return bare.Exchange(ctx, f)
	})
	if errors.Is(err, lrp.ErrProof) || err == nil && hello.TLS == nil {
		return nil, nil // a house of an earlier build
	}
	if err != nil {
		return nil, fmt.Errorf("ask who the house is: %w", err)
	}
	ca, err := fetch(ctx, http.DefaultClient, d.plain()+home.PathTLS)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(ca); string(sum[:]) != string(hello.TLS) {
		return nil, refused("the CA that the house shows is not the one that its secure player has signed for: somebody is in between")
	}
	return ca, nil
}

// trusting is a transport that trusts one house's CA and nobody else.
func trusting(ca []byte) (*http.Transport, error) {
	cfg, err := home.TLSClient(ca)
	if err != nil {
		return nil, err
	}
	return &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true, TLSHandshakeTimeout: tlsTry, IdleConnTimeout: time.Minute}, nil
}

// pinned carries requests to the house under the CA that is known. A house that has
// made another one since, as after its folder was lost, is asked for it once, and is
// believed when its module signs.
type pinned struct {
	d  *device
	mu sync.Mutex
	tr *http.Transport // guarded by mu
}

// RoundTrip carries one request.
func (p *pinned) RoundTrip(req *http.Request) (*http.Response, error) {
	tr, err := p.transport()
	if err != nil {
		return nil, err
	}
	res, err := tr.RoundTrip(req)
	if _, stranger := errors.AsType[x509.UnknownAuthorityError](err); !stranger || req.Body != nil && req.GetBody == nil {
		return res, err
	}
	ca, failed := p.d.learnCA(req.Context())
	if failed != nil || ca == nil {
		return nil, errors.Join(err, failed)
	}
	again := req.Clone(req.Context())
	if req.Body != nil {
		if again.Body, err = req.GetBody(); err != nil {
			return nil, err
		}
	}
	p.mu.Lock()
	p.d.cfg.CA, p.tr = ca, nil
	p.mu.Unlock()
	if err := p.d.save(); err != nil {
		return nil, err
	}
	if tr, err = p.transport(); err != nil {
		return nil, err
	}
	return tr.RoundTrip(again)
}

func (p *pinned) transport() (*http.Transport, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tr == nil {
		tr, err := trusting(p.d.cfg.CA)
		if err != nil {
			return nil, err
		}
		p.tr = tr
	}
	return p.tr, nil
}
