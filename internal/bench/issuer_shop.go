package bench

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/revocation"
	"github.com/lares-drm/lares/security/trem"
)

// What the licenses of the bench's titles say.
const (
	countedTerms = "PLAY; PLAY_COUNT=2; INTERVAL=48h"
	steadyTerms  = "PLAY"
)

// shopDomain is the trust domain of the shops and their households.
type shopDomain struct {
	*sltpDomain
	state, time *ecdsa.PrivateKey
	stateChain  [][]byte
	timeChain   [][]byte
	published   *revocation.State
}

func newShopDomain(now time.Time) (*shopDomain, error) {
	base, err := newSLTPDomain(now)
	if err != nil {
		return nil, err
	}
	d := &shopDomain{sltpDomain: base}
	builder := revocation.NewBuilder(nil)
	for _, class := range []pki.Class{0, issuerClass, homeClass} {
		if err := builder.Allot(class, revocation.PageSize); err != nil {
			return nil, err
		}
	}
	if d.state, d.stateChain, err = d.signer(pki.StateSigner); err != nil {
		return nil, err
	}
	if d.time, d.timeChain, err = d.signer(pki.TimeSigner); err != nil {
		return nil, err
	}
	d.published, err = builder.Sign(d.state, revocation.Issue{Epoch: shopEpoch(), IssuedAt: now, NextUpdate: now.Add(24 * time.Hour)})
	return d, err
}

func (d *shopDomain) signer(role pki.Role) (*ecdsa.PrivateKey, [][]byte, error) {
	key, err := newP256()
	if err != nil {
		return nil, nil, err
	}
	der, err := pki.Issue(d.root, pki.Profile{
		Name: "Bench " + role.String(), Role: role, Member: d.member(0), Levels: []pki.Level{pki.SL1}, Anchors: []pki.Anchor{pki.A0}, NotAfter: d.now.AddDate(0, 0, pki.MaxDays(role)),
	}, key.Public(), d.now)
	return key, [][]byte{der}, err
}

// enroll certifies a module as the shop's, brings it up to date and gives it the
// keys of the titles.
func (d *shopDomain) enroll(ctx context.Context, m *Module) error {
	req, err := m.SigningRequest(ctx)
	if err != nil {
		return err
	}
	p := &sltpParty{profile: pki.Profile{
		Name: "Bench shop", Role: pki.LicenseIssuer, Member: d.member(issuerClass), Issuer: "shop.example",
		Levels: []pki.Level{pki.SL1}, Anchors: []pki.Anchor{pki.A0}, NotAfter: d.now.AddDate(0, 0, pki.MaxDays(pki.LicenseIssuer)),
	}}
	pub, err := pki.ParseRequest(req.Signing)
	if err != nil {
		return err
	}
	leaf, err := d.certify(p, p.profile, pub)
	if err != nil {
		return err
	}
	if pub, err = pki.ParseRequest(req.Delivery); err != nil {
		return err
	}
	delivery := p.profile
	delivery.Kind = pki.KindECDH
	box, err := d.certify(p, delivery, pub)
	if err != nil {
		return err
	}
	if err := m.Enroll(ctx, trem.Enrollment{Chain: append([][]byte{leaf}, d.issuers.Chain...), Delivery: box, Roots: [][]byte{d.root.Root}}); err != nil {
		return err
	}
	nonce, err := m.Nonce(ctx)
	if err != nil {
		return err
	}
	token, err := revocation.SignTime(d.time, d.timeChain[0], d.now, [revocation.NonceLen]byte(nonce))
	if err != nil {
		return err
	}
	return m.Learn(ctx, trem.Learned{Head: d.published.Head().Bytes(), HeadChain: d.stateChain, Snapshot: d.published.Snapshot(), Time: token, TimeChain: d.timeChain})
}

// titleKeys are the keys of a title of four tiers, sealed to a shop's module.
func titleKeys(id ident.Content, box []byte) ([]byte, error) {
	d := &content.Delivery{Content: id, DurationMS: 5_400_000}
	for tier, bps := range map[content.Tier]uint64{content.Audio: 16_000, content.SD: 250_000, content.HD: 1_000_000, content.UHD: 4_000_000} {
		d.Keys = append(d.Keys, content.TierKey{KID: ident.NewKey(), Tier: tier, Key: cenc.GenerateKey(), BPS: bps})
	}
	return content.SealKeys(box, d)
}

// shop is an issuer as it runs in production: `lares issuer serve`, with its
// module as a process of its own.
type shop struct {
	loadShop

	cfg      Config
	dir      string
	postgres string // connection string; empty = SQLite in the folder
	box      []byte // what keys are sealed to
	served   *served
}

// newShop makes an issuer's folder; it serves nothing yet.
func newShop(ctx context.Context, cfg Config, d *shopDomain, dir, postgres string) (*shop, error) {
	m, err := cfg.Start(filepath.Join(dir, "trem"))
	if err != nil {
		return nil, err
	}
	err = d.enroll(ctx, m)
	st, failed := m.Status(ctx)
	if err := errors.Join(err, failed, m.Stop()); err != nil {
		return nil, fmt.Errorf("make the shop's module: %w", err)
	}
	s := &shop{cfg: cfg, dir: dir, postgres: postgres, box: st.Delivery, loadShop: loadShop{Device: st.Device}}
	var token [32]byte
	rand.Read(token[:]) // never returns an error
	s.Token = hex.EncodeToString(token[:])
	sum := sha256.Sum256([]byte(s.Token))
	about, err := json.Marshal(map[string]any{"name": "Bench", "issuer": st.Issuer, "device": st.Device, "ca": ""})
	if err != nil {
		return nil, err
	}
	for name, data := range map[string]string{"issuer.json": string(about), "admin.token.sha256": hex.EncodeToString(sum[:]), "dsn": postgres} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// open starts to serve.
func (s *shop) open(ctx context.Context) (err error) {
	args := []string{"issuer", "serve", "--dir", s.dir, "--listen", "127.0.0.1:0"}
	if s.postgres != "" {
		args = append(args, "--postgres", filepath.Join(s.dir, "dsn"))
	}
	s.served, err = serveProgram(ctx, filepath.Join(s.dir, "log"), s.cfg.Program, args...)
	if err == nil {
		s.URL = s.served.url
	}
	return err
}

// module is the process ID of the shop's module.
func (s *shop) module() (int, error) {
	all, err := childrenOf(s.served.pid())
	if err == nil && len(all) != 1 {
		err = fmt.Errorf("the shop has %d child processes", len(all))
	}
	if err != nil {
		return 0, err
	}
	return all[0], nil
}

// stock registers the titles and grants each household what the loads need.
func (s *shop) stock(ctx context.Context, homes []*household) error {
	for _, id := range []ident.Content{countedTitle, steadyTitle, renewedTitle} {
		keys, err := titleKeys(id, s.box)
		if err != nil {
			return err
		}
		if err := s.admin(ctx, homes[0], "/api/v1/contents", map[string]any{"keys": keys}, nil); err != nil {
			return fmt.Errorf("register %s: %w", id, err)
		}
	}
	s.Grants, s.Status = nil, nil
	end := time.Now().AddDate(1, 0, 0).UTC().Format(time.RFC3339) //nolint:forbidigo // what an operator says
	for _, h := range homes {
		var renewed struct {
			ID string `json:"id"`
		}
		for _, g := range []map[string]any{
			{"domain": h.domain, "content": countedTitle, "terms": countedTerms, "licenses": uint64(1) << 40},
			{"domain": h.domain, "content": steadyTitle, "terms": steadyTerms, "kind": "purchase"},
			{"domain": h.domain, "content": renewedTitle, "terms": "PLAY; END_TIME=" + end, "kind": "subscription"},
		} {
			if err := s.admin(ctx, h, "/api/v1/grants", g, &renewed); err != nil {
				return fmt.Errorf("grant %v: %w", g["content"], err)
			}
		}
		s.Grants = append(s.Grants, renewed.ID)
		if err := h.repeat(ctx, &s.loadShop, 0); err != nil {
			return fmt.Errorf("first license: %w", err)
		}
		var have struct {
			Licenses []struct {
				ID string `json:"id"`
			} `json:"licenses"`
		}
		if err := s.admin(ctx, h, "/api/v1/licenses/"+h.domain.String(), nil, &have); err != nil || len(have.Licenses) != 1 {
			return fmt.Errorf("%d licenses after the first one: %w", len(have.Licenses), err)
		}
		s.Status = append(s.Status, "/status/v1/"+h.domain.String()+"/"+have.Licenses[0].ID)
	}
	return nil
}

// admin is one request of the operator.
func (s *shop) admin(ctx context.Context, h *household, path string, in, out any) error {
	method, body := http.MethodGet, []byte(nil)
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
		method = http.MethodPost
	}
	data, err := h.fetch(ctx, &s.loadShop, method, path, "application/json", body)
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(data, out)
}

// served is a program that prints its URL and serves.
type served struct {
	cmd *exec.Cmd
	url string
	log string
}

// saidAtMost is how much of what a program said at its end is shown, in bytes.
const saidAtMost = 2000

func serveProgram(ctx context.Context, log, program string, args ...string) (*served, error) {
	cmd := exec.CommandContext(ctx, program, args...) //nolint:gosec // this program itself
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	f, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // the program has its own
	cmd.Stderr = f
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s %s does not serve: %w: %s", program, args[0], err, lastOf(log)), cmd.Wait())
	}
	return &served{cmd: cmd, url: strings.TrimSpace(line), log: log}, nil
}

func (s *served) pid() int { return s.cmd.Process.Pid }

// stop ends the program in its own order. One that ends otherwise has said why.
func (s *served) stop() error {
	err := s.cmd.Process.Signal(syscall.SIGTERM)
	if ended := s.cmd.Wait(); ended != nil {
		err = errors.Join(err, fmt.Errorf("%w: %s", ended, lastOf(s.log)))
	}
	return err
}

// lastOf is the end of a log, which has a line for each of a million licenses.
func lastOf(log string) []byte {
	f, err := os.Open(log)
	if err != nil {
		return nil
	}
	defer f.Close() //nolint:errcheck // only read
	about, err := f.Stat()
	if err != nil {
		return nil
	}
	said := make([]byte, min(about.Size(), saidAtMost))
	n, _ := f.ReadAt(said, about.Size()-int64(len(said))) // what can be read of it
	return said[:n]
}
