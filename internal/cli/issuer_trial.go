package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/content/film"
	"github.com/lares-drm/lares/content/packager"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/internal/testissuer"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/authority"
)

// What a test issuer is called in its certificates, and so in its licenses: who
// reads one sees that it is worth nothing. Source: local, docs/guide/test-issuer.md.
const (
	testIssuerID = ident.Issuer("lares-test")
	testDomain   = "TEST, for trials only"
	testContent  = ident.Content("urn:lares:test:film")
	testMarker   = "test-issuer" // file that marks the folder of a test issuer
	testAuthDir  = "ca"
	testFilmDir  = "film"
)

// trial is the authority that a test issuer has of its own.
type trial struct {
	dir  string
	url  string
	stop func() error
}

// beginTrial starts the authority of a test issuer and, the first time, makes
// it and the issuer's keys. A folder that holds any other issuer is refused, so
// no key that somebody trusts signs for a test.
func beginTrial(ctx context.Context, env *Env, f *issuerFlags) (t *trial, err error) {
	if f.postgres != "" || f.speke.credentials != "" {
		return nil, usage("--test has a database and keys of its own: not together with --postgres or --speke")
	}
	cfg, fresh, err := trialFolder(f.dir)
	if err != nil {
		return nil, err
	}
	t = &trial{dir: filepath.Join(f.dir, testAuthDir)}
	if err := t.found(env); err != nil {
		return nil, err
	}
	listen := "127.0.0.1:0"
	if u, err := url.Parse(cfg.CA); err == nil && u.Host != "" {
		listen = u.Host // modules that enrolled before ask there
	}
	if err := t.serve(ctx, env, listen); err != nil {
		return nil, err
	}
	if !fresh {
		return t, nil
	}
	voucher, err := t.voucher(env, pki.LicenseIssuer, testIssuerID)
	if err == nil {
		cfg = issuerConfig{Name: "Test issuer", CA: t.url}
		err = initIssuer(ctx, f.dir, &cfg, voucher)
	}
	if err != nil {
		return nil, errors.Join(err, t.stop())
	}
	return t, nil
}

// trialFolder looks whether a folder may be a test issuer's.
func trialFolder(dir string) (cfg issuerConfig, fresh bool, err error) {
	cfg, err = readIssuer(dir)
	_, missing := os.Stat(filepath.Join(dir, issuerFile))
	_, unmarked := os.Stat(filepath.Join(dir, testMarker))
	switch {
	case missing == nil && (unmarked != nil || err != nil || cfg.Issuer != testIssuerID):
		return cfg, false, refused("%s holds an issuer whose keys somebody may trust: a test issuer makes its own, in a folder of its own: lares issuer serve --test --dir ./test-issuer", dir)
	case missing == nil:
		return cfg, false, nil
	}
	if entries, err := os.ReadDir(filepath.Join(dir, issuerTREM)); err == nil && len(entries) > 0 && unmarked != nil {
		return cfg, false, refused("%s holds a module's keys: a test issuer makes its own, in a folder of its own: lares issuer serve --test --dir ./test-issuer", dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return cfg, false, fmt.Errorf("make the folder: %w", err)
	}
	return issuerConfig{}, true, writeDurably(filepath.Join(dir, testMarker), []byte("The keys of this folder are for tests. Trust nothing that they sign.\n"))
}

// found makes the authority, or looks that it is a test's.
func (t *trial) found(env *Env) error {
	if _, err := os.Stat(t.dir); errors.Is(err, fs.ErrNotExist) {
		store, err := authority.NewOSDir(t.dir)
		if err != nil {
			return err
		}
		unlock, err := store.Lock()
		if err != nil {
			return err
		}
		defer unlock()
		cfg, err := authority.ParseConfig([]byte(`{"name":"` + testDomain + `"}`))
		if err != nil {
			return err
		}
		_, err = authority.Ceremony(store, cfg, env.Now())
		return err
	}
	return withAuthority(t.dir, func(a *authority.Authority) error {
		if a.Name() != testDomain {
			return refused("%s is no authority for tests", t.dir)
		}
		return nil
	})
}

// serve serves the authority until stop is called.
func (t *trial) serve(ctx context.Context, env *Env, listen string) error {
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	inner := *env
	inner.Stdout = w
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		err := serveCA(gctx, &inner, caServeFlags{dir: t.dir, listen: listen})
		w.CloseWithError(err)
		return err
	})
	t.stop = func() error { cancel(); return g.Wait() }
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		return errors.Join(fmt.Errorf("start the authority for tests: %w", err), t.stop())
	}
	t.url = strings.TrimSpace(line)
	return nil
}

// voucher lets one module enroll at the authority for tests.
func (t *trial) voucher(env *Env, role pki.Role, id ident.Issuer) (code string, err error) {
	v := authority.Voucher{Role: role, Issuer: id, Level: pki.SL1, Expires: env.Now().Add(24 * time.Hour)}
	err = withAuthority(t.dir, func(a *authority.Authority) error {
		code, err = a.NewVoucher(v, env.Now())
		return err
	})
	return code, err
}

// shelve packs the film for tests, the first time, and gives its keys to the module.
func (t *trial) shelve(ctx context.Context, s *issuerServer) error {
	dir := filepath.Join(s.flags.dir, testFilmDir)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := packTestFilm(ctx, s.flags.dir, dir); err != nil {
			return fmt.Errorf("pack the film for tests: %w", err)
		}
	}
	keys, err := os.ReadFile(filepath.Join(dir, packager.KeysName))
	if err != nil {
		return err
	}
	_, err = s.issuer.RegisterContent(ctx, keys)
	return err
}

// doors are the test's, before those of the issuer.
func (t *trial) doors(s *issuerServer, api http.Handler) (http.Handler, error) {
	files := http.FileServerFS(os.DirFS(filepath.Join(s.flags.dir, testFilmDir)))
	return testissuer.New(testissuer.Config{
		Issuer: s.issuer, Store: s.db, Doors: api, Frames: lrphttp.Path, Content: testContent, URL: s.public, CA: t.url, Now: s.env.Now,
		Film: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, packager.KeysName) || strings.HasSuffix(r.URL.Path, "/") && r.URL.Path != "/" {
				http.NotFound(w, r)
				return
			}
			files.ServeHTTP(w, r)
		}),
		Voucher: func(role string) (string, error) {
			r, err := parseRole(role)
			if err != nil || r != pki.HomeServer && r != pki.Device {
				return "", errors.New("a module of a test is a home-server or a device")
			}
			return t.voucher(s.env, r, "")
		},
	})
}

// packTestFilm packs the film of the demo for the test issuer's module.
func packTestFilm(ctx context.Context, issuerDir, dir string) error {
	cert, err := readCertificate(filepath.Join(issuerDir, issuerDelivery))
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(issuerDir, "pack-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // copies of what is in the program
	var in []string
	for _, name := range []string{film.SD, film.HD} {
		data, err := film.Files.ReadFile(name)
		if err != nil {
			return err
		}
		in = append(in, filepath.Join(tmp, name))
		if err := os.WriteFile(in[len(in)-1], data, 0o600); err != nil {
			return err
		}
	}
	_, err = packager.Pack(ctx, packager.Config{
		Inputs: in, Dir: dir, Content: testContent, Title: "Test film", Scheme: cenc.SchemeCENC, FragmentMS: 4000, Recipient: cert.Raw, LicenseURL: "license", KeyURL: "key",
	})
	return err
}
