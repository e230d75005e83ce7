package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lares-drm/lares/content/film"
	"github.com/lares-drm/lares/internal/issuerapi"
	"github.com/lares-drm/lares/license/ident"
)

// demo is a house being built and put to the test.
type demo struct {
	*house
	listen string // address of the home server

	caURL, shopURL, homeURL string
	shop                    issuerapi.About
	relay                   *recorder
	sources                 map[string][32]byte // hash of each source stream, by tier
	lent                    time.Time           // when the loan began
}

// build makes the whole house, without proofs.
func (d *demo) build(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		d.makeCA, d.makeShop, d.packFilm, d.stockShop, d.makeHome, d.fillHome, d.makeDevices, d.settle,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) makeCA(ctx context.Context) (err error) {
	if _, err := d.must(ctx, "ca", "ceremony", "--dir", d.path("ca")); err != nil {
		return err
	}
	d.caURL, err = d.serve("ca", "ca", "serve", "--dir", d.path("ca"), "--listen", "127.0.0.1:0")
	return err
}

// voucher is a one-time right to be enrolled in a role.
func (d *demo) voucher(ctx context.Context, args ...string) (string, error) {
	var v struct {
		Voucher string `json:"voucher"`
	}
	err := d.query(ctx, &v, append([]string{"ca", "voucher", "--dir", d.path("ca")}, args...)...)
	return v.Voucher, err
}

func (d *demo) makeShop(ctx context.Context) error {
	v, err := d.voucher(ctx, "--role", "license-issuer", "--issuer", "demo-shop")
	if err != nil {
		return err
	}
	if _, err := d.must(ctx, "issuer", "init", "--dir", d.path("shop"), "--ca", d.caURL, "--voucher", v, "--name", "Demo shop"); err != nil {
		return err
	}
	if d.shopURL, err = d.serve("shop", "issuer", "serve", "--dir", d.path("shop"), "--listen", "127.0.0.1:0"); err != nil {
		return err
	}
	d.shop, err = aboutShop(ctx, d.shopURL)
	return err
}

// packFilm protects the film once a title, each with keys of its own.
func (d *demo) packFilm(ctx context.Context) error { return d.packTitles(ctx, demoTitles(time.Time{})) }

func (d *demo) packTitles(ctx context.Context, titles []demoTitle) error {
	for _, name := range []string{film.SD, film.HD, film.UHD, film.Poster} {
		data, err := film.Files.ReadFile(name)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(d.path("film"), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(d.path("film", name), data, 0o600); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(d.path("packed"), 0o700); err != nil {
		return err
	}
	for _, t := range titles {
		args := []string{
			"pack", d.path("film", film.SD), d.path("film", film.HD), "--poster", d.path("film", film.Poster), "--title", t.title, "--content", string(t.id), "--scheme", t.scheme,
			"--to", d.path("shop", "delivery.der"), "--authority", d.caURL, "--out", d.packed(t.id),
		}
		if t.uhd {
			args = append(args, d.path("film", film.UHD))
		}
		if _, err := d.must(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) packed(id ident.Content) string { return d.path("packed", string(id)) }

func (d *demo) stockShop(ctx context.Context) error {
	for _, t := range demoTitles(time.Time{}) {
		if _, err := d.must(ctx, "issuer", "content", "add", "--dir", d.path("shop"), "--keys", filepath.Join(d.packed(t.id), "keys.lkd")); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) makeHome(ctx context.Context) error {
	v, err := d.voucher(ctx, "--role", "home-server")
	if err != nil {
		return err
	}
	if _, err := d.must(ctx, "home", "init", "--dir", d.path("home"), "--ca", d.caURL, "--voucher", v); err != nil {
		return err
	}
	d.homeURL, err = d.serve("home", "home", "serve", "--dir", d.path("home"), "--listen", d.listen, "--ca", d.caURL)
	if err != nil {
		return err
	}
	for _, t := range demoTitles(time.Time{}) {
		if _, err := d.must(ctx, "home", "add", d.packed(t.id), "--dir", d.path("home")); err != nil {
			return err
		}
	}
	return nil
}

// fillHome sells the titles to the house, and the house fetches them.
func (d *demo) fillHome(ctx context.Context) error {
	if err := d.sell(ctx); err != nil {
		return err
	}
	for _, t := range demoTitles(time.Time{}) {
		if err := d.fetchTitle(ctx, t.id); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) sell(ctx context.Context) error {
	var house struct {
		Domain ident.Domain `json:"pairwise"`
	}
	if err := d.query(ctx, &house, "home", "show", "--dir", d.path("home"), "--issuer", string(d.shop.Issuer)); err != nil {
		return err
	}
	for _, t := range demoTitles(time.Now()) {
		if _, err := d.must(ctx, "issuer", "grant", "--dir", d.path("shop"), "--domain", house.Domain.String(), "--content", string(t.id),
			"--terms", t.terms, "--kind", t.kind); err != nil {
			return err
		}
	}
	return nil
}

// fetchTitle gets a license over the recording relay, when there is one.
func (d *demo) fetchTitle(ctx context.Context, id ident.Content) error {
	shop := d.shopURL
	if d.relay != nil {
		shop = d.relay.url
	}
	_, err := d.must(ctx, "home", "fetch", string(id), "--dir", d.path("home"), "--issuer", shop)
	return err
}

// makeDevices makes two devices, the second of a device class of its own.
func (d *demo) makeDevices(ctx context.Context) error {
	if err := d.makeDevice(ctx, "tablet", ""); err != nil {
		return err
	}
	return d.makeDevice(ctx, "phone", "second player")
}

// makeDevice enrolls a device, in a device class of its own that is named or in the
// one that all have, and pairs it with the house.
func (d *demo) makeDevice(ctx context.Context, name, class string) error {
	args := []string{"--role", "device"}
	if class != "" {
		var made struct {
			Class uint32 `json:"class"`
		}
		if err := d.query(ctx, &made, "ca", "class", "add", "--dir", d.path("ca"), "--name", class); err != nil {
			return err
		}
		args = append(args, "--class", fmt.Sprint(made.Class))
	}
	v, err := d.voucher(ctx, args...)
	if err != nil {
		return err
	}
	if _, err := d.must(ctx, "device", "init", "--dir", d.path(name), "--ca", d.caURL, "--voucher", v); err != nil {
		return err
	}
	return d.pair(ctx, name)
}

// pair runs the device's side and the owner's side of one pairing.
func (d *demo) pair(ctx context.Context, name string) error { return d.pairAt(ctx, name, d.homeURL) }

// pairAt pairs a device that reaches the house at a URL.
func (d *demo) pairAt(ctx context.Context, name, url string) error {
	return d.join(ctx, name, "home", url)
}

// join pairs a device with a house that is served from a folder.
func (h *house) join(ctx context.Context, name, home, url string) error {
	ctx, cancel := context.WithTimeout(ctx, startGrace)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := h.must(ctx, "device", "pair", "--dir", h.path(name), "--home", url, "--name", name)
		done <- err
	}()
	for {
		var waiting struct {
			Pairings []struct {
				Name string `json:"name"`
				Code string `json:"code"`
			} `json:"pairings"`
		}
		if err := h.query(ctx, &waiting, "home", "pair", "--dir", h.path(home)); err != nil {
			return err
		}
		for _, p := range waiting.Pairings {
			if p.Name == name && p.Code != "" {
				_, err := h.must(ctx, "home", "pair", p.Code, "--dir", h.path(home))
				return errors.Join(err, <-done)
			}
		}
		select {
		case err := <-done:
			return errors.Join(fmt.Errorf("%s was not paired", name), err)
		case <-ctx.Done():
			return ctx.Err()
		case <-tick():
		}
	}
}

// firstLine is for messages of failed commands.
func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}
