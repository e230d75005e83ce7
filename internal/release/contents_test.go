package main

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/lares-drm/lares/internal/needs"
)

// looked opens the results of a release for amd64 and holds them against what
// they are to be: sums, bills, tarball, container.
func looked(t *testing.T, dir string) {
	t.Helper()
	sum := exec.CommandContext(t.Context(), "sha256sum", "-c", "SHA256SUMS")
	sum.Dir = dir
	if out, err := sum.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	root := unpack(t, dir)
	t.Run("bill", func(t *testing.T) { billed(t, dir) })
	t.Run("completions", func(t *testing.T) { completed(t, root) })
	t.Run("container", func(t *testing.T) { contained(t, root) })
}

// unpack unpacks the tarball and gives its folder. Every time and owner in it is
// the same.
func unpack(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*linux-amd64.tar.gz"))
	if err != nil || len(names) != 1 {
		t.Fatalf("%v, %v", names, err)
	}
	f, err := os.Open(names[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // read only
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	top := ""
	for in := tar.NewReader(z); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if !h.ModTime.Equal(commitTime) || h.Uid != 0 || h.Uname != "root" {
			t.Errorf("%s: %v, owner %d %s", h.Name, h.ModTime, h.Uid, h.Uname)
		}
		top, _, _ = strings.Cut(h.Name, "/")
		data, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(to, path.Clean("/"+h.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil { //nolint:gosec // as users have it
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, h.FileInfo().Mode()); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(to, 0o755); err != nil { //nolint:gosec // another user runs it
		t.Fatal(err)
	}
	return filepath.Join(to, top)
}

// billed holds the bill of the trusted module against the reviewed list of what
// is linked into it.
func billed(t *testing.T, dir string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "lares-trem-*.cdx.json"))
	if err != nil || len(names) != 1 {
		t.Fatalf("%v, %v", names, err)
	}
	data, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	var got bom
	if err := json.Unmarshal(data, &got); err != nil || got.Format != "CycloneDX" || got.Spec != "1.5" || got.Metadata.Component.Hashes[0].Alg != "SHA-256" {
		t.Errorf("%v: %+v", err, got.Metadata)
	}
	if !regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(got.Serial) {
		t.Errorf("serial number %s", got.Serial)
	}
	deps, err := os.ReadFile("../../testdata/lares-trem.deps")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, c := range got.Components {
		if c.Name == "std" {
			continue
		}
		seen++
		if !strings.Contains(string(deps), c.Name) || c.Version == "" || c.PURL != "pkg:golang/"+c.Name+"@"+c.Version {
			t.Errorf("%+v is not among what is linked", c)
		}
	}
	for line := range strings.Lines(string(deps)) {
		name := strings.TrimSpace(line)
		if first, _, _ := strings.Cut(name, "/"); !strings.Contains(first, ".") || strings.HasPrefix(name, "github.com/lares-drm/") || strings.HasPrefix(name, "vendor/") {
			continue
		}
		found := false
		for _, c := range got.Components {
			found = found || strings.HasPrefix(name+"/", c.Name+"/")
		}
		if !found {
			t.Errorf("%s is linked, and not in the bill", name)
		}
	}
	if seen < 3 {
		t.Errorf("%d modules", seen)
	}
}

// contained does what the Dockerfile does, without Docker: what it copies is in
// the tarball, and runs where there is nothing else.
func contained(t *testing.T, tarball string) {
	t.Helper()
	text, err := os.ReadFile("../../packaging/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	from := 0
	var entry, env []string
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		switch f[0] {
		case "FROM":
			if from++; len(f) != 2 || f[1] != "scratch" {
				t.Errorf("it is made of %v", f[1:])
			}
		case "COPY":
			for _, src := range f[1 : len(f)-1] {
				data, err := os.ReadFile(filepath.Join(tarball, src))
				if err != nil {
					t.Errorf("%s is not in the tarball: %v", src, err)
					continue
				}
				dst := filepath.Join(root, f[len(f)-1], path.Base(src))
				if err := errors.Join(os.MkdirAll(filepath.Dir(dst), 0o755), os.WriteFile(dst, data, 0o755)); err != nil { //nolint:gosec // as in the image
					t.Fatal(err)
				}
			}
		case "ENTRYPOINT":
			if err := json.Unmarshal([]byte(strings.TrimSpace(strings.TrimPrefix(line, "ENTRYPOINT"))), &entry); err != nil {
				t.Fatal(err)
			}
		case "ENV":
			env = f[1:]
		case "VOLUME", "CMD":
		default:
			t.Errorf("the test does not know %s", f[0])
		}
	}
	if from != 1 || len(entry) != 1 {
		t.Fatalf("%d FROM, entry point %v", from, entry)
	}
	if os.Getuid() != 0 {
		needs.NotRun(t, "only root may change the root folder")
	}
	// What an engine adds by itself: /proc and /dev, in namespaces that end with it.
	script := `mkdir -p "$0/proc" "$0/dev" && mount -t proc proc "$0/proc" && mount --bind /dev "$0/dev" || exit 77
exec chroot "$0" "$@"`
	cmd := exec.CommandContext(t.Context(), needs.Tool(t, "unshare"), "--mount", "--pid", "--fork", "/bin/sh", "-c", script, root, //nolint:gosec // of the Dockerfile
		entry[0], "trem", "init", "--dir", "/var/lib/lares/trem", "--json")
	cmd.Env = append(env, "PATH=/usr/bin:/usr/sbin:/bin:/sbin") // mount's and chroot's, too
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() == 77 || strings.Contains(string(out), "unshare failed") {
		needs.NotRun(t, "no namespaces or mounts here: "+string(out))
	}
	if err != nil || !strings.Contains(string(out), `"walls"`) {
		t.Errorf("%v: %s", err, out)
	}
}

// completed completes command lines with a real bash and the release's own files.
func completed(t *testing.T, tarball string) {
	t.Helper()
	bash := needs.Tool(t, "bash")
	for line, want := range map[string]string{"lares doc": "doctor", "lares device mo": "move", "lares home serve --ann": "--announce", "lares nothing x": ""} {
		script := fmt.Sprintf(`_get_comp_words_by_ref() { cur=${COMP_WORDS[COMP_CWORD]}; prev=${COMP_WORDS[COMP_CWORD-1]}; words=("${COMP_WORDS[@]}"); cword=$COMP_CWORD; }
_init_completion() { _get_comp_words_by_ref; }
compopt() { :; }
source completions/bash/lares
COMP_WORDS=(%[1]s); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); COMP_LINE="%[1]s"; COMP_POINT=${#COMP_LINE}; COMP_TYPE=9
__start_lares; printf '%%s\n' "${COMPREPLY[@]}"`, line)
		cmd := exec.CommandContext(t.Context(), bash, "--norc", "-c", script)
		cmd.Dir, cmd.Env = tarball, []string{"PATH=" + filepath.Join(tarball, "bin") + ":" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
		out, err := cmd.Output()
		if got := strings.TrimSpace(string(out)); err != nil || !strings.HasPrefix(got, want) || (want == "") != (got == "") {
			t.Errorf("%q is completed by %q (%v), want %q", line, got, err, want)
		}
	}
}
