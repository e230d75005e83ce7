package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lares-drm/lares/internal/cli"
)

// platform is what a release is built for.
type platform struct {
	name string   // in file names
	deb  string   // Debian's name
	env  []string // of the Go tool
}

// platforms are all of them. Source: local.
var platforms = []platform{
	{"amd64", "amd64", []string{"GOARCH=amd64", "GOAMD64=v1"}},
	{"arm64", "arm64", []string{"GOARCH=arm64"}},
	{"armv7", "armhf", []string{"GOARCH=arm", "GOARM=7"}},
}

// release is one run.
type release struct {
	out     string    // folder of the results
	work    string    // folder for what lies between; removed
	version string    // as file names and packages have it
	at      time.Time // every time in the results
	only    []string  // platforms
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	var r release
	var only string
	flag.StringVar(&r.out, "out", "dist", "folder to write to; what is in it is removed")
	flag.StringVar(&only, "only", "amd64,arm64,armv7", "platforms")
	flag.Parse()
	r.only = strings.Split(only, ",")
	err := r.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func (r *release) run(ctx context.Context) (err error) {
	if r.at, err = sourceTime(ctx); err != nil {
		return err
	}
	r.version = cli.Version
	if r.out, err = filepath.Abs(r.out); err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(r.out), os.MkdirAll(r.out, 0o755)); err != nil {
		return err
	}
	if r.work, err = os.MkdirTemp("", "lares-release-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(r.work)) }()
	shared, err := r.shared()
	if err != nil {
		return err
	}
	built := 0
	for _, p := range platforms {
		if !slices.Contains(r.only, p.name) {
			continue
		}
		built++
		if err := r.platform(ctx, p, shared); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	if built != len(r.only) {
		return fmt.Errorf("%q are not all among amd64, arm64 and armv7", r.only)
	}
	return r.sums()
}

// platform makes the files of one platform.
func (r *release) platform(ctx context.Context, p platform, shared []entry) error {
	bin := filepath.Join(r.work, p.name)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=auto", "-ldflags=-s -w", "-o", bin+"/", "./cmd/lares", "./cmd/lares-trem")
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOFLAGS="+os.Getenv("GOFLAGS")), p.env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w: %s", err, out)
	}
	modules, err := r.bill(p, bin)
	if err != nil {
		return err
	}
	notices, err := notices(ctx, modules)
	if err != nil {
		return err
	}
	entries := append(slices.Clone(shared),
		entry{"bin/lares", filepath.Join(bin, "lares"), 0o755, nil},
		entry{"bin/lares-trem", filepath.Join(bin, "lares-trem"), 0o755, nil},
		entry{"THIRD-PARTY.txt", "", 0o644, notices},
	)
	if err := r.tarball(p, entries); err != nil {
		return err
	}
	return r.deb(ctx, p, entries)
}

// sourceTime is the time of everything in the results: SOURCE_DATE_EPOCH
// (reproducible-builds.org), else that of the commit.
func sourceTime(ctx context.Context) (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		out, err := exec.CommandContext(ctx, "git", "log", "-1", "--format=%ct").Output()
		if err != nil {
			return time.Time{}, fmt.Errorf("no SOURCE_DATE_EPOCH and no commit to take the time of: %w", err)
		}
		text = strings.TrimSpace(string(out))
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	return time.Unix(n, 0).UTC(), nil
}
