package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// content is a file of a package, in nfpm's form.
type content struct {
	Src  string `json:"src,omitempty"`
	Dst  string `json:"dst"`
	Info info   `json:"file_info"`
}

type info struct {
	Owner string    `json:"owner"`
	Group string    `json:"group"`
	Mode  int64     `json:"mode"`
	At    time.Time `json:"mtime"`
}

// deb writes the Debian package of a platform from the files of its tarball.
func (r *release) deb(ctx context.Context, p platform, entries []entry) error {
	stage := filepath.Join(r.work, p.name+"-deb")
	var files []content
	for i, e := range entries {
		dst := debPath(e.name)
		if dst == "" {
			continue
		}
		data, err := e.read()
		if err != nil {
			return err
		}
		if strings.HasPrefix(dst, "/usr/share/man/") {
			if data, err = zipped(data); err != nil {
				return err
			}
			dst += ".gz"
		}
		src := filepath.Join(stage, fmt.Sprint(i))
		if err := os.MkdirAll(stage, 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(src, data, 0o600); err != nil {
			return err
		}
		files = append(files, content{src, dst, info{"root", "root", e.mode, r.at}})
	}
	name := fmt.Sprintf("lares_%s_%s.deb", debVersion(r.version), p.deb)
	config, err := json.Marshal(map[string]any{ // JSON is YAML
		"name": "lares", "arch": p.deb, "platform": "linux", "version": debVersion(r.version), "version_schema": "none", "mtime": r.at,
		"maintainer": "The Lares authors <lares@localhost>", "section": "video", "priority": "optional", "license": "Apache-2.0",
		"description": debDescription,
		"depends":     []string{"passwd"}, "recommends": []string{"systemd"}, "suggests": []string{"mpv"},
		"contents": files,
		"scripts":  map[string]string{"postinstall": "packaging/deb/postinst", "preremove": "packaging/deb/prerm", "postremove": "packaging/deb/postrm"},
		"deb":      map[string]any{"compression": "gzip"},
	})
	if err != nil {
		return err
	}
	file := filepath.Join(r.work, p.name+".yaml")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return err
	}
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "run", "-C", "tools/deb", "-trimpath", ".", "--base", here, "--config", file, "--target", filepath.Join(r.out, name))
	cmd.Env = append(os.Environ(), fmt.Sprintf("SOURCE_DATE_EPOCH=%d", r.at.Unix()))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}

// debDescription is what apt shows: one line, then more.
const debDescription = `open DRM system for home media servers
Lares keeps a household's films, plays them on its devices, and moves, copies
and lends them under rules that are exact, explained and enforced. One program
for households, license issuers and builders, and its trusted module.`

// debVersion makes a development version sort before its release, as Debian does.
func debVersion(v string) string { return strings.Replace(v, "-", "~", 1) }

// debPath is where a file of the tarball goes in a Debian system; none for "".
func debPath(name string) string {
	dir, base := path.Split(name)
	switch dir {
	case "bin/":
		return "/usr/bin/" + base
	case "systemd/":
		return "/lib/systemd/system/" + base
	case "systemd/examples/":
		return "/usr/share/doc/lares/examples/" + base
	case "man/man1/":
		return "/usr/share/man/man1/" + base
	case "completions/bash/":
		return "/usr/share/bash-completion/completions/" + base
	case "completions/zsh/":
		return "/usr/share/zsh/vendor-completions/" + base
	case "completions/fish/":
		return "/usr/share/fish/vendor_completions.d/" + base
	}
	if base == "LICENSE.txt" {
		base = "copyright"
	}
	return "/usr/share/doc/lares/" + base
}

// zipped compresses without a name and without a time, as Debian's policy asks.
func zipped(data []byte) ([]byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(data); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
