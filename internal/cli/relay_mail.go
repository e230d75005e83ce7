package cli

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/service/home"
)

// Names in the folder of a relay's mailbox.
const (
	relayName   = "address"
	relayLock   = "lock"
	relayFrames = "frames"
)

// relayMail is the mailbox of a relay: frames that one courier has left for another,
// which never meet. It opens none of them.
type relayMail struct {
	now      func() time.Time
	endpoint *lrp.Endpoint // for HELLO: who proves itself
	lock     *os.File
	stray    int

	mu   sync.Mutex
	box  *lrp.Mailbox  // guarded by mu
	mail *lrp.Relay    // guarded by mu; of box
	news chan struct{} // guarded by mu; closed when something comes
}

// openRelayMail opens the folder for this process alone. boxes are the addresses that
// may leave frames for each other; empty: the relay is known to nobody.
func openRelayMail(dir string, boxes []lrp.Addr, now func() time.Time) (_ *relayMail, self lrp.Addr, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, self, fmt.Errorf("make the mailbox's folder: %w", err)
	}
	m := &relayMail{now: now, news: make(chan struct{})}
	if m.lock, err = lockFolder(filepath.Join(dir, relayLock)); err != nil {
		return nil, self, err
	}
	defer func() {
		if err != nil {
			_ = m.close()
		}
	}()
	if self, err = relayAddress(filepath.Join(dir, relayName)); err != nil {
		return nil, self, err
	}
	if m.box, m.stray, err = home.OpenMail(filepath.Join(dir, relayFrames), now()); err != nil {
		return nil, self, err
	}
	m.mail = &lrp.Relay{Self: self, Mailbox: m.box}
	known := map[lrp.Addr]bool{}
	for _, a := range boxes {
		known[a] = true
		m.mail.Box(a, true)
	}
	m.endpoint, err = lrp.NewEndpoint(lrp.EndpointConfig{Self: self, Known: func(a lrp.Addr) bool { return known[a] }, Hello: lrp.DefaultHello("http", "unix")})
	return m, self, err
}

// lockFolder keeps a second relay out: both would give the same numbers.
func lockFolder(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the mailbox: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(usage("another relay serves the mailbox in %s", filepath.Dir(name)), f.Close())
	}
	return f, nil
}

// relayAddress reads the relay's address, or makes it: it stays the same, and who
// comes to the mailbox names it.
func relayAddress(name string) (lrp.Addr, error) {
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		a, err := newAddress()
		if err == nil {
			err = writeDurably(name, []byte(a.String()+"\n"))
		}
		return a, err
	}
	if err != nil {
		return lrp.Addr{}, fmt.Errorf("the relay's address: %w", err)
	}
	a, err := parseAddr(strings.TrimSpace(string(text)))
	if err != nil {
		return a, fmt.Errorf("the relay's address: %s: %w; remove the file, and whoever comes has to be told the new address", name, err)
	}
	return a, nil
}

// newAddress is the address of a key that nobody keeps: a relay proves nothing.
func newAddress() (a lrp.Addr, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return a, fmt.Errorf("make the relay's address: %w", err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return a, fmt.Errorf("make the relay's address: %w", err)
	}
	return lrp.AddrOf(spki), nil
}

// frame keeps a frame whose source has proven itself to this relay. It is not for the
// mailbox otherwise: the relay passes it on.
func (m *relayMail) frame(by lrp.Arrival, f lrp.Frame) (answer []lrp.Frame, its bool) {
	now := m.now()
	switch {
	case f.Dst == m.mail.Self && f.Type == lrp.TypeHello:
		return m.endpoint.HandleBy(by, f, now, nil), true
	case f.Dst == m.mail.Self || !m.endpoint.Proved(by.Link, f.Src, now):
		return nil, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	step := m.mail.Handle(f, now)
	if step.Kept != nil {
		close(m.news)
		m.news = make(chan struct{})
	}
	if e, err := lrp.ParseError(errorIn(step.Answer)); err == nil && e.Code == lrp.CodeUnknownDst {
		return nil, false // it has no box here, and may have a way
	}
	return step.Answer, true
}

// errorIn is the body of an answer that is one ERROR.
func errorIn(answer []lrp.Frame) []byte {
	if len(answer) != 1 || answer[0].Type != lrp.TypeError {
		return nil
	}
	return answer[0].Body
}

// proves reports whether somebody has proven itself to this relay on a link.
func (m *relayMail) proves(link lrp.LinkID) bool { return len(m.endpoint.Sources(link, m.now())) > 0 }

// taken drops what who is proven on a link says that it has taken, as Taken of a
// binding does.
func (m *relayMail) taken(link lrp.LinkID, upTo uint64) {
	sources := m.endpoint.Sources(link, m.now())
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(sources) == 1 { // of several nobody knows whose number it is
		m.box.Taken(sources[0], upTo)
	}
}

// wait returns frames for who is proven on a link, as Wait of a binding does.
func (m *relayMail) wait(ctx context.Context, link lrp.LinkID, after uint64) ([]lrp.Kept, error) {
	for {
		now := m.now()
		sources := m.endpoint.Sources(link, now)
		if len(sources) == 0 {
			return nil, lrp.ErrProof
		}
		m.mu.Lock()
		out, news := m.box.Among(sources, after, now), m.news
		m.mu.Unlock()
		if len(out) > 0 {
			return out, nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return nil, nil
		}
	}
}

func (m *relayMail) held() lrp.Share {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.box.Held()
}

// sweepMailEvery is how often what has lapsed is dropped. Source: local.
const sweepMailEvery = time.Hour

// run drops what has lapsed until ctx ends.
func (m *relayMail) run(ctx context.Context) {
	tick := time.NewTicker(sweepMailEvery)
	defer tick.Stop()
	for {
		m.mu.Lock()
		m.box.Sweep(m.now())
		m.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (m *relayMail) close() error { return m.lock.Close() } // the lock goes with it
