package home_test

import (
	"bufio"
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

// mailDir names the folder in which the child of a kill test keeps letters.
const mailDir = "LARES_TEST_MAIL_DIR"

// TestMain is the test binary, or, where mailDir is set, a house that writes letters
// to a member as fast as it can and says which are kept; where peopleDir is, one in
// which PINs are tried, and where ownFilmsDir is, one that protects a film.
func TestMain(m *testing.M) {
	if dir := os.Getenv(mailDir); dir != "" {
		fmt.Fprintln(os.Stderr, writeLetters(dir))
		os.Exit(1)
	}
	if dir := os.Getenv(peopleDir); dir != "" {
		fmt.Fprintln(os.Stderr, tryPINs(dir))
		os.Exit(1)
	}
	if dir := os.Getenv(ownFilmsDir); dir != "" {
		fmt.Fprintln(os.Stderr, protectAndBack(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

var mailMember = ident.Device{5}

func writeLetters(dir string) error {
	leaf, err := os.ReadFile(filepath.Join(dir, "leaf"))
	if err != nil {
		return err
	}
	cert, err := x509.ParseCertificate(leaf)
	if err != nil {
		return err
	}
	m := &hometest.Module{State: trem.Status{Device: ident.DeviceOf(cert.RawSubjectPublicKeyInfo), Leaf: leaf}}
	h, err := home.New(home.Config{Dir: dir, Module: m, Now: time.Now})
	if err != nil {
		return err
	}
	n := len(h.LettersFor(mailMember, 0))
	for i := 0; ; i++ { // 16 topics: most letters take another's place
		m.Pending = trem.Handed{Letters: []trem.Letter{{To: mailMember, Topic: [16]byte{byte(i % 16)}, Bytes: written(fmt.Sprintf("%d-%d", n, i), 3000), Says: uint64(i + 1)}}}
		if _, err := h.Transfers(context.Background()); err != nil {
			return err
		}
		fmt.Printf("%d %d\n", i%16, i+1)
	}
}

// TestLRP_7_KilledWhileItKeepsLetters: whatever a house has said to be kept is there
// after a kill, each topic once, and nothing half written is in the way.
func TestLRP_7_KilledWhileItKeepsLetters(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "leaf"), hometest.Certificate(t, "home"), 0o600); err != nil {
		t.Fatal(err)
	}
	var lastNumber uint64
	for round := range 12 {
		cmd := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // this very binary
		cmd.Env = append(os.Environ(), mailDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		said := map[byte]uint64{}
		in := bufio.NewScanner(out)
		for len(said) < 16 || said[0] < uint64(20+7*round) { //nolint:gosec // few
			var topic byte
			var says uint64
			if !in.Scan() {
				t.Fatalf("round %d: the house ended by itself: %v", round, cmd.Wait())
			}
			if _, err := fmt.Sscan(in.Text(), &topic, &says); err != nil {
				t.Fatal(err)
			}
			said[topic] = says
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for in.Scan() { // what it said before it died
			var topic byte
			var says uint64
			if n, _ := fmt.Sscan(in.Text(), &topic, &says); n == 2 {
				said[topic] = says
			}
		}
		_ = cmd.Wait() // it was killed
		h, err := home.New(home.Config{Dir: dir, Module: hometest.New(t, nil), Now: time.Now})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		got := map[byte]home.Letter{}
		for _, l := range h.LettersFor(mailMember, 0) {
			if _, twice := got[l.Topic[0]]; twice || l.Number <= lastNumber {
				t.Errorf("round %d: topic %d twice (%v), number %d after %d", round, l.Topic[0], twice, l.Number, lastNumber)
			}
			got[l.Topic[0]] = l
		}
		for topic, says := range said {
			if l, ok := got[topic]; !ok || l.Says < says {
				t.Errorf("round %d: topic %d said kept at %d, found %d (%v)", round, topic, says, l.Says, ok)
			}
		}
		for _, l := range got {
			lastNumber = max(lastNumber, l.Number)
		}
	}
	files, err := os.ReadDir(filepath.Join(dir, "mail"))
	if err != nil || len(files) > 16+1 { // and one that was half written at the last kill
		t.Errorf("%d files (%v)", len(files), err)
	}
	damaged := filepath.Join(dir, "mail", "12.kept")
	if err := os.WriteFile(damaged, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := home.New(home.Config{Dir: dir, Module: hometest.New(t, nil), Now: time.Now})
	if err != nil || len(h.LettersFor(mailMember, 0)) != 16 {
		t.Errorf("beside a damaged file: %v", err)
	}
	if _, err := os.Stat(damaged); err != nil {
		t.Errorf("it was removed: %v", err)
	}
}
