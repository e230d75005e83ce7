package cli

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// sumsFile is what a release lists its files in. Source: local (docs/guide/packages.md).
const sumsFile = "SHA256SUMS"

// Limits of a list of sums. Source: local.
const (
	maxSums     = 64 << 10 // bytes
	maxSumsLine = 1024
)

// releaseView is what `version --release --json` prints.
type releaseView struct {
	Here    string   `json:"here"`    // this program's version
	Release string   `json:"release"` // the folder's
	Newer   bool     `json:"newer"`
	Files   []string `json:"files"`   // that are there for this machine, and whole
	Damaged []string `json:"damaged"` // whose sum is another
}

var (
	sumLine     = regexp.MustCompile(`^([0-9a-f]{64})  ([A-Za-z0-9._~+-]{1,200})$`)
	releaseName = regexp.MustCompile(`^lares-([0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.]+)?)-linux-([a-z0-9]+)\.tar\.gz$`)
	versionForm = regexp.MustCompile(`^([0-9]{1,9})\.([0-9]{1,9})\.([0-9]{1,9})(-[0-9A-Za-z.]+)?$`)
)

var errSums = errors.New("no list of SHA-256 sums of a release")

// parseSums reads a list of sums by file name.
func parseSums(r io.Reader) (map[string][32]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSums+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxSums {
		return nil, fmt.Errorf("%w: over %d bytes", errSums, maxSums)
	}
	out := map[string][32]byte{}
	in := bufio.NewScanner(strings.NewReader(string(data)))
	in.Buffer(nil, maxSumsLine)
	for in.Scan() {
		m := sumLine.FindStringSubmatch(in.Text())
		if m == nil {
			return nil, errSums
		}
		if _, twice := out[m[2]]; twice {
			return nil, fmt.Errorf("%w: %s stands twice", errSums, m[2])
		}
		var sum [32]byte
		if _, err := hex.Decode(sum[:], []byte(m[1])); err != nil {
			return nil, errSums
		}
		out[m[2]] = sum
	}
	if in.Err() != nil || len(out) == 0 {
		return nil, errSums
	}
	return out, nil
}

// compareVersions orders versions: a development version is before its release.
func compareVersions(a, b string) (int, error) {
	x, y := versionForm.FindStringSubmatch(a), versionForm.FindStringSubmatch(b)
	if x == nil || y == nil {
		return 0, fmt.Errorf("%q or %q is no version", a, b)
	}
	for i := 1; i <= 3; i++ {
		n, err := strconv.Atoi(x[i])
		m, err2 := strconv.Atoi(y[i])
		if err := errors.Join(err, err2); err != nil {
			return 0, err
		}
		if n != m {
			return cmp.Compare(n, m), nil
		}
	}
	switch {
	case x[4] == y[4]:
		return 0, nil
	case x[4] == "":
		return 1, nil
	case y[4] == "":
		return -1, nil
	}
	return strings.Compare(x[4], y[4]), nil
}

// lookAtRelease holds a folder with a release against this program.
func lookAtRelease(dir, here string) (v releaseView, err error) {
	v = releaseView{Here: here, Files: []string{}, Damaged: []string{}}
	f, err := os.Open(filepath.Join(dir, sumsFile))
	if err != nil {
		return v, fmt.Errorf("read the release: %w", err)
	}
	sums, err := parseSums(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return v, fmt.Errorf("read %s: %w", sumsFile, err)
	}
	for name := range sums {
		if m := releaseName.FindStringSubmatch(name); m != nil {
			if v.Release != "" && v.Release != m[1] {
				return v, fmt.Errorf("%s lists versions %s and %s: keep one release a folder", sumsFile, v.Release, m[1])
			}
			v.Release = m[1]
		}
	}
	if v.Release == "" {
		return v, fmt.Errorf("%s lists no release of Lares", sumsFile)
	}
	order, err := compareVersions(v.Release, here)
	if err != nil {
		return v, err
	}
	v.Newer = order > 0
	return v, v.verify(dir, sums)
}

// verify hashes the files of the release that are for this machine and are there.
func (v *releaseView) verify(dir string, sums map[string][32]byte) error {
	arch := map[string]string{"arm": "armv7"}[runtime.GOARCH]
	arch = cmp.Or(arch, runtime.GOARCH)
	deb := cmp.Or(map[string]string{"arm": "armhf"}[runtime.GOARCH], runtime.GOARCH)
	for _, name := range []string{
		fmt.Sprintf("lares-%s-linux-%s.tar.gz", v.Release, arch),
		fmt.Sprintf("lares_%s_%s.deb", strings.Replace(v.Release, "-", "~", 1), deb),
	} {
		want, listed := sums[name]
		f, err := os.Open(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		h := sha256.New()
		_, err = io.Copy(h, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		if listed && [32]byte(h.Sum(nil)) == want {
			v.Files = append(v.Files, name)
		} else {
			v.Damaged = append(v.Damaged, name)
		}
	}
	return nil
}

func printRelease(cmd *cobra.Command, env *Env, dir string) error {
	v, err := lookAtRelease(dir, Version)
	if err != nil {
		return err
	}
	if err := env.print(cmd, v, func(w io.Writer) error {
		p := printer{w: w}
		switch {
		case v.Newer:
			p.line("%s is newer than this program (%s).", v.Release, v.Here)
		case v.Release == v.Here:
			p.line("%s is the version of this program.", v.Release)
		default:
			p.line("%s is older than this program (%s).", v.Release, v.Here)
		}
		for _, name := range v.Files {
			p.line("  whole    %s", name)
		}
		for _, name := range v.Damaged {
			p.line("  DAMAGED  %s", name)
		}
		return p.err
	}); err != nil {
		return err
	}
	switch {
	case len(v.Damaged) > 0:
		return check("%s is not what %s says: fetch it again, and do not install it", strings.Join(v.Damaged, ", "), sumsFile)
	case len(v.Files) == 0:
		return check("no file of the release is here for this machine")
	}
	return nil
}
