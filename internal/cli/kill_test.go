package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// killHouse is a house with a shop and a home server, for being killed.
func killHouse(t *testing.T) *demo {
	t.Helper()
	h, err := newHouse(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h.program = program(t)
	d := &demo{house: h, listen: "127.0.0.1:0"}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(h.tail(30))
		}
		if err := h.close(); err != nil {
			t.Error(err)
		}
	})
	for _, step := range []func(context.Context) error{d.makeCA, d.makeShop, d.packFilm, d.stockShop, d.makeHome} {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// rentals counts the licenses that the house holds of the rental.
func (d *demo) rentals(ctx context.Context) (int, error) {
	lib, err := d.library(ctx)
	if err != nil {
		return 0, err
	}
	for _, t := range lib {
		if t.Content == string(rented) {
			return len(t.Held), nil
		}
	}
	return 0, nil
}

// TestStory_9_KillProcesses kills the shop or the home server, whole processes,
// at random moments of granting and fetching. Every acknowledged grant is
// there, every grant becomes one license, and none becomes two.
func TestStory_9_KillProcesses(t *testing.T) {
	d := killHouse(t)
	ctx := t.Context()
	var house struct {
		Domain string `json:"pairwise"`
	}
	if err := d.query(ctx, &house, "home", "show", "--dir", d.path("home"), "--issuer", string(d.shop.Issuer)); err != nil {
		t.Fatal(err)
	}
	start, end := demoWindow()
	for round := range 8 {
		if _, err := d.must(ctx, "issuer", "grant", "--dir", d.path("shop"), "--domain", house.Domain, "--content", string(rented),
			"--terms", fmt.Sprintf(rentalFormat, start, end)); err != nil {
			t.Fatal(err)
		}
		victim := []string{"shop", "home"}[round%2]
		done := make(chan answer, 1)
		go func() {
			a, _ := d.run(ctx, "home", "fetch", string(rented), "--dir", d.path("home"), "--issuer", d.shopURL) //nolint:errcheck // judged by what is held
			done <- a
		}()
		time.Sleep(time.Duration(rand.IntN(40)) * time.Millisecond)
		if err := d.kill(victim); err != nil {
			t.Fatal(err)
		}
		if err := d.again(victim); err != nil {
			t.Fatal(err)
		}
		first := <-done
		n := d.settle(t, round+1)
		t.Logf("round %d: %s killed, the fetch ended with status %d, %d licenses are held", round, victim, first.code, n)
		if n != round+1 {
			t.Fatalf("after round %d the house holds %d licenses, want %d", round, n, round+1)
		}
	}
	var list struct {
		Licenses []json.RawMessage `json:"licenses"`
	}
	if err := d.query(ctx, &list, "issuer", "licenses", "--dir", d.path("shop"), "--domain", house.Domain); err != nil {
		t.Fatal(err)
	}
	if n, err := d.grants(ctx); err != nil || n != 8 || len(list.Licenses) != 8 {
		t.Errorf("the shop knows %d grants (%v) and issued %d licenses, want 8 and 8", n, err, len(list.Licenses))
	}
}

// settle asks again until the wanted license is there, as the house does by itself.
func (d *demo) settle(t *testing.T, want int) int {
	t.Helper()
	n := 0
	for range 50 {
		var err error
		if n, err = d.rentals(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n >= want {
			return n
		}
		_, _ = d.run(t.Context(), "home", "fetch", string(rented), "--dir", d.path("home"), "--issuer", d.shopURL) //nolint:errcheck // judged by what is held
		<-tick()
	}
	return n
}
