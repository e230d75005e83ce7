package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// The parts of a CycloneDX 1.5 document that are written here. Source:
// https://cyclonedx.org/docs/1.5/json/.
type (
	bom struct {
		Format      string      `json:"bomFormat"`
		Spec        string      `json:"specVersion"`
		Serial      string      `json:"serialNumber"`
		Version     int         `json:"version"`
		Metadata    metadata    `json:"metadata"`
		Components  []component `json:"components"`
		Dependences []depends   `json:"dependencies"`
	}
	metadata struct {
		Timestamp string    `json:"timestamp"`
		Component component `json:"component"`
	}
	component struct {
		Type    string     `json:"type"`
		Ref     string     `json:"bom-ref"`
		Name    string     `json:"name"`
		Version string     `json:"version"`
		PURL    string     `json:"purl,omitempty"`
		Hashes  []hash     `json:"hashes,omitempty"`
		More    []property `json:"properties,omitempty"`
	}
	hash struct {
		Alg     string `json:"alg"`
		Content string `json:"content"`
	}
	property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	depends struct {
		Ref string   `json:"ref"`
		On  []string `json:"dependsOn"`
	}
)

// linked is a module that is linked into a program, as the program says itself.
type linked struct{ path, version, sum string }

// bill writes a bill of materials for each program of a platform, and returns all
// modules that are linked into them.
func (r *release) bill(p platform, bin string) ([]linked, error) {
	all := map[linked]bool{}
	for _, name := range []string{"lares", "lares-trem"} {
		path := filepath.Join(bin, name)
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("what is linked into %s: %w", name, err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		sum := fmt.Sprintf("%x", sha256.Sum256(data))
		main := component{Type: "application", Ref: name, Name: name, Version: r.version, Hashes: []hash{{"SHA-256", sum}}}
		for _, s := range info.Settings {
			if strings.HasPrefix(s.Key, "vcs.") || strings.HasPrefix(s.Key, "GO") || s.Key == "CGO_ENABLED" {
				main.More = append(main.More, property{"go:" + s.Key, s.Value})
			}
		}
		list := []linked{{"std", strings.TrimPrefix(info.GoVersion, "go"), ""}}
		for _, d := range info.Deps {
			if d.Replace != nil {
				return nil, fmt.Errorf("%s is replaced: a release is made of what go.mod names", d.Path)
			}
			list = append(list, linked{d.Path, d.Version, d.Sum})
		}
		for _, l := range list[1:] {
			all[l] = true
		}
		doc := bom{
			Format: "CycloneDX", Spec: "1.5", Serial: "urn:uuid:" + uuid(sum), Version: 1,
			Metadata: metadata{r.at.Format("2006-01-02T15:04:05Z"), main}, Components: components(list),
		}
		on := depends{Ref: name, On: []string{}}
		for _, c := range doc.Components {
			on.On = append(on.On, c.Ref)
		}
		doc.Dependences = []depends{on}
		text, err := json.MarshalIndent(doc, "", "  ")
		if err != nil {
			return nil, err
		}
		out := filepath.Join(r.out, fmt.Sprintf("%s-%s-linux-%s.cdx.json", name, r.version, p.name))
		if err := os.WriteFile(out, append(text, '\n'), 0o644); err != nil {
			return nil, err
		}
	}
	list := make([]linked, 0, len(all))
	for l := range all {
		list = append(list, l)
	}
	slices.SortFunc(list, func(a, b linked) int { return cmp.Compare(a.path, b.path) })
	return list, nil
}

func components(list []linked) []component {
	var out []component
	for _, l := range list {
		url := "pkg:golang/" + l.path + "@" + l.version
		c := component{Type: "library", Ref: url, Name: l.path, Version: l.version, PURL: url}
		if l.sum != "" {
			c.More = []property{{"go:sum", l.sum}} // of go.sum: a hash over a list of hashes
		}
		out = append(out, c)
	}
	return out
}

// uuid is one that a hash stands for (RFC 9562, version 8).
func uuid(sum string) string {
	return fmt.Sprintf("%s-%s-8%s-8%s-%s", sum[:8], sum[8:12], sum[13:16], sum[17:20], sum[20:32])
}

// notices are the license texts of all modules that are linked, which their
// licenses ask to be passed on, and of Go.
func notices(ctx context.Context, list []linked) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("The programs of Lares are linked with the following, under their licenses.\n")
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	if err := notice(&b, "The Go standard library", strings.TrimSpace(string(root))); err != nil {
		return nil, err
	}
	for _, l := range list {
		cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", l.path)
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("where %s is: %w", l.path, err)
		}
		if err := notice(&b, l.path+" "+l.version, strings.TrimSpace(string(out))); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

var errNoLicense = errors.New("no license text is in it")

func notice(b *bytes.Buffer, what, dir string) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	found := false
	for _, f := range list {
		name := strings.ToUpper(f.Name())
		if f.IsDir() || !strings.HasPrefix(name, "LICENSE") && !strings.HasPrefix(name, "LICENCE") && !strings.HasPrefix(name, "COPYING") && !strings.HasPrefix(name, "NOTICE") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return err
		}
		found = true
		fmt.Fprintf(b, "\n%s\n%s, %s\n%s\n\n%s\n", strings.Repeat("=", 78), what, f.Name(), strings.Repeat("=", 78), bytes.TrimSpace(text))
	}
	if !found {
		return fmt.Errorf("%s: %w", what, errNoLicense)
	}
	return nil
}
