package cli

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"github.com/spf13/cobra"
)

// tlsFlags say how an issuer serves households by TLS itself.
type tlsFlags struct{ listen, cert, key string }

func (f *tlsFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.listen, "tls-listen", "", "address to serve on by TLS beside --listen; default: none, as behind a proxy")
	cmd.Flags().StringVar(&f.cert, "tls-cert", "", "PEM file of its certificates, leaf first")
	cmd.Flags().StringVar(&f.key, "tls-key", "", "PEM file (0600) of its key")
}

// check reports flags that do not go together.
func (f *tlsFlags) check() error {
	if f.listen == "" && f.cert+f.key != "" {
		return usage("--tls-cert and --tls-key need --tls-listen")
	}
	if f.listen != "" && (f.cert == "" || f.key == "") {
		return usage("--tls-listen needs --tls-cert and --tls-key")
	}
	return nil
}

// listener opens the address; nil when there is none.
func (f *tlsFlags) listener(ctx context.Context) (net.Listener, error) {
	if f.listen == "" {
		return nil, nil //nolint:nilnil // there is none
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", f.listen)
	if err != nil {
		return nil, fmt.Errorf("serve by TLS: %w", err)
	}
	return l, nil
}

// certificate is the one that new connections get, of two files; without them there
// is none.
type certificate struct {
	cert, key string
	held      atomic.Pointer[tls.Certificate]
}

// load has new connections get what is in the files now.
func (c *certificate) load() error {
	pair, err := c.read()
	if err == nil {
		c.held.Store(pair)
	}
	return err
}

// check reports whether load would.
func (c *certificate) check() error {
	_, err := c.read()
	return err
}

func (c *certificate) read() (*tls.Certificate, error) {
	if c.cert+c.key == "" {
		return nil, nil //nolint:nilnil // there is none
	}
	key, err := secretFile(c.key)
	if err != nil {
		return nil, fmt.Errorf("read the key of TLS: %w", err)
	}
	cert, err := os.ReadFile(c.cert)
	if err != nil {
		return nil, fmt.Errorf("read the certificates of TLS: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, []byte(key))
	if err != nil {
		return nil, fmt.Errorf("certificates of TLS: %w", err)
	}
	return &pair, nil
}

// config is for a server of HTTP/1.1 and HTTP/2. It names both: a server that also
// serves without TLS takes from here whether it has to know HTTP/2 at all.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.held.Load(), nil },
	}
}

// follow reads the files anew at each SIGHUP until ctx ends. What cannot be read
// changes nothing.
func (c *certificate) follow(ctx context.Context, hup <-chan os.Signal, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
		}
		if err := c.load(); err != nil {
			log.LogAttrs(ctx, slog.LevelError, "certificate not read anew; the old one is used", slog.Any("error", err))
			continue
		}
		log.LogAttrs(ctx, slog.LevelInfo, "certificate read anew", slog.Time("until", c.held.Load().Leaf.NotAfter))
	}
}

// swapped is a handler that can be replaced: a request is served to its end by the
// one that it began with.
type swapped struct{ now atomic.Pointer[http.Handler] }

func (s *swapped) set(h http.Handler) { s.now.Store(&h) }

func (s *swapped) ServeHTTP(w http.ResponseWriter, r *http.Request) { (*s.now.Load()).ServeHTTP(w, r) }

// hungUp reads keys and certificates anew, as SIGHUP asks for. What cannot be read
// changes nothing.
func (s *issuerServer) hungUp(ctx context.Context) {
	err := s.cert.check()
	if err == nil {
		err = s.readKeys()
	}
	if err == nil {
		err = s.cert.load()
	}
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "keys and certificates not read anew; the old ones are used", slog.Any("error", err))
		return
	}
	s.log.LogAttrs(ctx, slog.LevelInfo, "keys and certificates read anew")
}

// hangups are the signals that hungUp answers; stop ends them.
func hangups() (hup chan os.Signal, stop func()) {
	hup = make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	return hup, func() { signal.Stop(hup) }
}
