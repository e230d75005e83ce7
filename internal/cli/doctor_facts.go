package cli

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp/dnssd"
	"github.com/lares-drm/lares/internal/care"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/internal/store"
	"github.com/lares-drm/lares/security/pki/authority"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

// kindOf tells whose folder it is by what is in it. A house and a device are told
// apart by their module; before that has a certificate, by what else is there.
func kindOf(dir string) (care.Kind, error) {
	has := func(name string) bool { _, err := os.Stat(filepath.Join(dir, name)); return err == nil }
	switch {
	case has("authority.cbor"):
		return care.Authority, nil
	case has(issuerFile):
		return care.Issuer, nil
	case has("device.json"), has("machine-id"):
		return care.Device, nil
	case has("trem"):
		return care.Home, nil
	case has("vault"), has("identity"), has("keystore.json"):
		return care.Module, nil
	}
	return "", fmt.Errorf("%s is no folder of a house, device, shop, authority or secure player", dir)
}

// facts looks at one folder.
func (d *doctor) facts(ctx context.Context, dir string) (*care.Facts, error) {
	kind, err := kindOf(dir)
	if err != nil {
		return nil, err
	}
	f := &care.Facts{Kind: kind, Dir: dir, Files: care.LookAtFiles(dir), Disk: care.LookAtDisk(dir, d.env.Now)}
	if kind == care.Authority {
		f.Port = d.port(ctx, dir, "127.0.0.1:7700")
		d.authority(f)
	} else {
		d.player(ctx, f)
	}
	switch f.Kind {
	case care.Home:
		f.Port = d.port(ctx, dir, "127.0.0.1:7710")
		d.house(ctx, f)
	case care.Issuer:
		f.Port = d.port(ctx, dir, "127.0.0.1:7720")
		d.issuer(ctx, f)
	case care.Device:
		d.device(ctx, f)
	case care.Authority, care.Module: // nothing more
	}
	f.Now = d.env.Now()
	return f, nil
}

// player asks the module: through the server that has it open, or by starting it.
func (d *doctor) player(ctx context.Context, f *care.Facts) {
	p := &care.Player{}
	f.Player = p
	dir := filepath.Join(f.Dir, "trem")
	if f.Kind == care.Module {
		dir = f.Dir
	}
	switch {
	case f.Kind == care.Home && homeRuns(ctx, f.Dir):
		var v httpd.StatusView
		p.Err = askHome(ctx, f.Dir, http.MethodGet, "/api/v1/status", nil, &v)
		p.Status = v.Module
	case f.Kind == care.Issuer && homeRuns(ctx, f.Dir):
		p.Err = askIssuer(ctx, f.Dir, http.MethodGet, "/api/v1/module", nil, &p.Status)
	case inUse(dir):
		p.Busy = true
	default:
		p.Status, p.Err = moduleStatus(ctx, dir)
	}
	if p.Status.Role == "device" && f.Kind == care.Home {
		f.Kind = care.Device
	}
	if p.Err == nil && !p.Busy {
		f.Stores = append(f.Stores, care.Store{Name: "the player's log"})
	}
	if p.Status.StateAt > 0 {
		f.State.IssuedAt = time.UnixMilli(p.Status.StateAt)
	}
	if p.Status.Until > 0 {
		f.Until = time.UnixMilli(p.Status.Until)
	}
}

func moduleStatus(ctx context.Context, dir string) (trem.Status, error) {
	module, stop, err := startTREM(dir)
	if err != nil {
		return trem.Status{}, err
	}
	s, err := module.Status(ctx)
	return s, errors.Join(err, stop())
}

// inUse reports whether another process has a module's log open: it holds a lock
// on the folder. Source: docs/spec/vault.md.
func inUse(dir string) bool {
	for _, name := range []string{dir, filepath.Join(dir, "vault")} {
		f, err := os.Open(name)
		if err != nil {
			continue
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
		_ = f.Close() // which ends the lock
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return true
		}
	}
	return false
}

// port says whether a server of the folder answers, or could take its usual address.
func (d *doctor) port(ctx context.Context, dir, usual string) *care.Port {
	if base, err := readURL(dir); err == nil {
		if homeRuns(ctx, dir) {
			return &care.Port{Serves: true, Addr: base}
		}
		if u, err := url.Parse(base); err == nil && u.Host != "" {
			usual = u.Host // where it was when it was killed
		}
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", usual)
	if err != nil {
		return &care.Port{Addr: usual, Err: err}
	}
	return &care.Port{Addr: usual, Err: ln.Close()}
}

// reach asks somebody for a sign of life; any answer is one.
func reach(ctx context.Context, name, base string) care.Peer {
	p := care.Peer{Name: name, URL: base}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+"/healthz", nil)
	if err != nil {
		p.Err = err
		return p
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.Err = err
		return p
	}
	_ = res.Body.Close() // nothing of it is read
	return p
}

// maxShops bounds the shops that are asked. Source: local.
const maxShops = 8

func (d *doctor) house(ctx context.Context, f *care.Facts) {
	if d.ca != "" {
		f.Peers = append(f.Peers, reach(ctx, "authority", d.ca))
	} else if f.Port.Serves {
		var v httpd.StatusView
		if err := askHome(ctx, f.Dir, http.MethodGet, "/api/v1/status", nil, &v); err == nil {
			p := care.Peer{Name: "authority", URL: "of the house"}
			if v.Health.Problem != "" {
				p.Err = errors.New(v.Health.Problem)
			}
			f.Peers = append(f.Peers, p)
		}
	}
	shops, err := home.ShopsOf(f.Dir)
	f.Stores = append(f.Stores, care.Store{Name: "the house's files", Err: errors.Join(err, home.Check(f.Dir))})
	for _, s := range shops[:min(maxShops, len(shops))] {
		f.Peers = append(f.Peers, reach(ctx, "shop", s))
	}
	f.Discovery = &care.Discovery{Open: f.Port.Serves && servedToNetwork(ctx, f.Port.Addr), Belongs: true}
	if f.Discovery.Open {
		d.look(ctx, f.Discovery, f.Player.Status.Device.String())
	}
}

func (d *doctor) device(ctx context.Context, f *care.Facts) {
	dev := &device{dir: f.Dir}
	err := dev.load()
	f.Stores = append(f.Stores, care.Store{Name: "device.json", Err: err})
	f.Discovery = &care.Discovery{Belongs: dev.cfg.Home != ""}
	if dev.cfg.Home == "" {
		return
	}
	p := reach(ctx, "house", dev.plain())
	f.Peers = append(f.Peers, p)
	f.Discovery.Open = p.Err == nil
	if u, err := url.Parse(dev.cfg.Home); err == nil && isLoopback(u.Hostname()) {
		return // the house is on this machine: the network is not asked
	}
	d.look(ctx, f.Discovery, dev.cfg.Server.String())
}

// look asks the network for a house.
func (d *doctor) look(ctx context.Context, out *care.Discovery, self string) {
	var found []dnssd.Found
	found, out.Err = d.find(ctx, d.wait)
	out.Seen = slices.ContainsFunc(found, func(f dnssd.Found) bool { return strings.HasPrefix(self, f.Prefix) })
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// servedToNetwork reports whether a server of this machine answers at an address
// that others reach, too.
func servedToNetwork(ctx context.Context, base string) bool {
	u, err := url.Parse(base)
	if err != nil {
		return false
	}
	if !isLoopback(u.Hostname()) {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok || n.IP.IsLoopback() || n.IP.IsLinkLocalUnicast() {
			continue
		}
		if reach(ctx, "", "http://"+net.JoinHostPort(n.IP.String(), u.Port())).Err == nil {
			return true
		}
	}
	return false
}

func (d *doctor) issuer(ctx context.Context, f *care.Facts) {
	cfg, err := readIssuer(f.Dir)
	f.Stores = append(f.Stores, care.Store{Name: issuerFile, Err: err})
	if cfg.CA != "" {
		f.Peers = append(f.Peers, reach(ctx, "authority", cfg.CA))
	}
	path := filepath.Join(f.Dir, issuerDatabase)
	if _, err := os.Stat(path); err != nil {
		return // never served, or PostgreSQL, which lares issuer db check looks at
	}
	got, err := store.CheckSQLite(ctx, path)
	if err == nil && len(got.Findings) > 0 {
		err = fmt.Errorf("%d rules do not hold: lares issuer db check --dir %s", len(got.Findings), f.Dir)
	}
	f.Stores = append(f.Stores, care.Store{Name: "the database", Err: err})
}

// authority reads its folder: what opens is whole, since each record is checked.
func (d *doctor) authority(f *care.Facts) {
	err := withAuthority(f.Dir, func(a *authority.Authority) error {
		head := a.State().Head()
		f.State = care.State{IssuedAt: time.UnixMilli(head.IssuedAt), NextUpdate: time.UnixMilli(head.NextUpdate)}
		t := a.Trust()
		for _, der := range slices.Concat(t.Roots, t.StateSigner, t.TimeSigner) {
			c, err := x509.ParseCertificate(der)
			if err != nil {
				return fmt.Errorf("read certificate: %w", err)
			}
			if f.Until.IsZero() || c.NotAfter.Before(f.Until) {
				f.Until = c.NotAfter
			}
		}
		return nil
	})
	f.Stores = append(f.Stores, care.Store{Name: "the authority's records", Err: err})
}
