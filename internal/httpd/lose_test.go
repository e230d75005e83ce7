package httpd_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/internal/httpd/browsertest"
	"github.com/lares-drm/lares/internal/needs"
)

// TestLose_PageAndItsFiles: the page speaks to people, alone may run
// WebAssembly, and is there only when its program is.
func TestLose_PageAndItsFiles(t *testing.T) {
	srv, h, _ := house(t, cenc.SchemeCENC)
	if res, _ := get(t, "GET", srv.URL+"/lose", nil); res.StatusCode != http.StatusNotFound {
		t.Errorf("without its program: %d", res.StatusCode)
	}
	if _, body := get(t, "GET", srv.URL+"/", nil); strings.Contains(string(body), "/lose") {
		t.Error("a page leads to what is not there")
	}
	program := bytes.Repeat([]byte("\x00asm"), 1000)
	srv = serveWith(t, h, fstest.MapFS{"play.wasm": {Data: program}, "wasm_exec.js": {Data: []byte("// go")}})
	res, body := get(t, "GET", srv.URL+"/lose", nil)
	if w := internalWords.FindString(pageText(body)); w != "" || res.StatusCode != http.StatusOK {
		t.Errorf("%d, the page says %q", res.StatusCode, w)
	}
	if regexp.MustCompile(`(?i)<script>|<style|\son[a-z]+=|style="|javascript:`).Match(body) {
		t.Error("the page has inline code or styles")
	}
	if csp := res.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "script-src 'self' 'wasm-unsafe-eval';") {
		t.Errorf("the page's policy: %s", csp)
	}
	res, body = get(t, "GET", srv.URL+"/", nil)
	if strings.Contains(res.Header.Get("Content-Security-Policy"), "wasm") || !strings.Contains(string(body), `href="/lose"`) {
		t.Error("another page may run WebAssembly, or does not lead to this one")
	}
	for _, packed := range []bool{true, false} {
		res, body := get(t, "GET", srv.URL+"/lose/play.wasm", nil, func(r *http.Request) {
			if r.Header.Set("Accept-Encoding", "identity"); packed {
				r.Header.Set("Accept-Encoding", "br, gzip")
			}
		})
		if packed {
			zip, err := gzip.NewReader(bytes.NewReader(body))
			if err != nil || res.Header.Get("Content-Encoding") != "gzip" || len(body) > len(program)/10 {
				t.Fatalf("%d bytes, %v", len(body), err)
			}
			if body, err = io.ReadAll(zip); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(body, program) || res.Header.Get("Content-Type") != "application/wasm" {
			t.Errorf("packed %v: %d bytes of %s", packed, len(body), res.Header.Get("Content-Type"))
		}
	}
	if _, err := httpd.New(httpd.Config{Home: h, Frames: http.NotFoundHandler(), Play: fstest.MapFS{}}); err == nil {
		t.Error("a folder without the program is taken")
	}
}

// playProgram builds the page's program as `make build` does.
func playProgram(t *testing.T) fs.FS {
	t.Helper()
	dir, tool := t.TempDir(), needs.Tool(t, "go")
	cmd := exec.CommandContext(t.Context(), tool, "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, "play.wasm"), "../../cmd/lares-play")
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	root, err := exec.CommandContext(t.Context(), tool, "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	js, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "lib", "wasm", "wasm_exec.js"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "wasm_exec.js"), js, 0o600); err != nil {
		t.Fatal(err)
	}
	return os.DirFS(dir)
}

// TestLose_InABrowser: real Chromium hands the film over with a plug pulled,
// survives hundreds of random faults with nothing lost and nothing doubled, and
// breaks boxes that are built wrong: one by hand, each by surprise.
func TestLose_InABrowser(t *testing.T) {
	needs.Long(t)
	t.Parallel() // this and the other browsers wait for their pages
	_, h, _ := house(t, cenc.SchemeCENC)
	srv := serveWith(t, h, playProgram(t))
	pages := os.Getenv("LARES_PICTURES") // a folder, to look at them
	if pages == "" {
		pages = t.TempDir()
	}
	res := browsertest.Lose(t, srv.URL, pages)
	t.Logf("a surprise takes %.0f ms; mistakes: %+v", res.PerSurprise, res.Mistakes)
	if len(res.Console) > 0 || res.Overflow {
		t.Errorf("too wide %v, the browser complains: %q", res.Overflow, res.Console)
	}
	if res.Hand.Lost != 0 || res.Hand.Doubled != 0 || res.Hand.Tickets != [2]string{"No viewing here.", "3 viewings"} || res.Hand.Focus == "" {
		t.Errorf("by hand, with the keyboard: %+v", res.Hand)
	}
	if res.Random.Lost != 0 || res.Random.Doubled != 0 || res.Random.Faults < 500 || res.Random.Broken != "" {
		t.Errorf("at random: %+v", res.Random)
	}
	if res.Old.Doubled != 3 || res.Old.Broken == "" {
		t.Errorf("an old letter, to a box that has forgotten its no: %+v", res.Old)
	}
	if len(res.Mistakes) != 4 {
		t.Errorf("%d mistakes", len(res.Mistakes))
	}
	for name, m := range res.Mistakes {
		if m.Lost+m.Doubled == 0 || m.Broken == "" {
			t.Errorf("%s does not break: %+v", name, m)
		}
	}
	if w := internalWords.FindString(res.Said); w != "" || !strings.Contains(res.Said, "Living room") {
		t.Errorf("the page says %q in %q", w, res.Said)
	}
}
