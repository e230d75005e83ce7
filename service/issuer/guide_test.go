package issuer_test

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/service/issuer"
)

// guideProgram builds and starts the program of docs/guide/small-shop.md.
func guideProgram(t *testing.T, issuerURL string) (url, letters string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/guide/small-shop.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(page), "```go\n")
	source, _, ok2 := strings.Cut(after, "```")
	if !ok || !ok2 {
		t.Fatal("docs/guide/small-shop.md shows no program")
	}
	dir := t.TempDir()
	letters = filepath.Join(dir, "letters")
	for name, text := range map[string]string{"paid.go": source, "token": token + "\n", "secret": "payment secret\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(letters, 0o700); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), needs.Tool(t, "go"), "build", "-o", "paid", "paid.go")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("the program of the guide does not build: %v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), "./paid", issuerURL, "token", "secret", "letters", "127.0.0.1:0")
	cmd.Dir = dir
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill() //nolint:errcheck // it may be gone
		cmd.Wait()         //nolint:errcheck // killed
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line), letters
}

// notify sends a notice as a payment service does.
func notify(t *testing.T, url, secret, body string, at time.Time) int {
	t.Helper()
	h := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(h, "%d.%s", at.Unix(), body)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/paid", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Payment-Signature", fmt.Sprintf("t=%d,v1=%s", at.Unix(), hex.EncodeToString(h.Sum(nil))))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

func lettersIn(t *testing.T, folder string) (all []string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(folder, "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(text))
	}
	slices.Sort(all)
	return all
}

func TestGuide_SmallShop_APaymentBecomesALetterWithACode(t *testing.T) {
	needs.Long(t)
	s := selling(t)
	srv := httptest.NewServer(api(s))
	defer srv.Close()
	url, letters := guideProgram(t, srv.URL)
	const secret = "payment secret"
	const paid = `{"payment":"p-1","product":"rental-48h","quantity":2,"mail":"ann@example.org"}`
	for range 2 { // payment services repeat themselves
		if status := notify(t, url, secret, paid, time.Now()); status != 200 {
			t.Fatalf("a genuine notice: %d", status)
		}
	}
	first := lettersIn(t, letters)
	if len(first) != 1 || strings.Count(first[0], "https://shop.example/c/") != 2 || !strings.HasPrefix(first[0], "To: ann@example.org\n") {
		t.Fatalf("letters: %d", len(first))
	}
	for name, status := range map[string]int{
		"another secret": notify(t, url, "guess", paid, time.Now()),
		"an old notice":  notify(t, url, secret, paid, time.Now().Add(-time.Hour)),
		"no notice":      notify(t, url, secret, "[]", time.Now()),
	} {
		if status != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, status)
		}
	}
	if status := notify(t, url, secret, `{"payment":"p-2","product":"unknown","quantity":1}`, time.Now()); status != http.StatusServiceUnavailable {
		t.Errorf("an unknown product: %d", status)
	}
	if got := lettersIn(t, letters); len(got) != 1 {
		t.Errorf("%d letters for one payment", len(got))
	}
	// What came by mail is what a house redeems.
	lines := strings.Fields(first[0])
	code, err := issuer.ParseClaimCode(lines[len(lines)-1])
	if err != nil {
		t.Fatal(err)
	}
	if g, err := s.Redeem(t.Context(), customer, code, house); err != nil || g.Offer != "rental-48h" {
		t.Errorf("%+v, %v", g, err)
	}
	srv.Close()
	if status := notify(t, url, secret, strings.Replace(paid, "p-1", "p-3", 1), time.Now()); status != http.StatusServiceUnavailable {
		t.Errorf("while the issuer is away: %d", status)
	}
}
