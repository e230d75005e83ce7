package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// Bars of the home bench. Source: local (docs/performance.md).
const (
	maxFirstFrame  = 150  // ms more than the same film in the clear
	minStreams     = 60   // of 10 Mb/s, at half of one core
	maxLibraryPage = 200  // ms
	maxIdle        = 80   // MB, the home server and its module together
	maxReady       = 1000 // ms, with 10,000 titles, too
	maxStreaming   = 200  // MB, the same with 64 streams: a Raspberry Pi of 1 GB has room for it and for its films
)

// libraryTitles is how many titles the library page is measured with. Source: local.
const libraryTitles = 10_000

const unitStreams = "streams"

func homeBench() Bench {
	return Bench{
		Name: "home", Short: "A house: time to the first picture, streams at a time, a library of 10,000 titles, memory, start",
		Peers: []string{"chromium", "node", "playwright-core", "ffmpeg"}, Run: runHome,
	}
}

// runHome measures a home server as it runs, `lares home serve` with its module in a
// process of its own.
func runHome(ctx context.Context, cfg Config) (rows []Row, err error) {
	if cfg.Program == "" {
		return nil, errors.New("nobody said where the program lares is")
	}
	if cfg.Program, err = filepath.Abs(cfg.Program); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "lares-bench-*")
	if err != nil {
		return nil, fmt.Errorf("folder of the bench: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // the folder is named after the bench
	h, err := newBenchHouse(ctx, cfg, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	for _, part := range []func(context.Context) ([]Row, error){h.start, h.firstFrame, h.streams, h.library} {
		more, err := part(ctx)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

// idleAfter is how long a server has had nothing to do when its memory is read.
const idleAfter = 2 * time.Second

// start is the time from nothing to a home server that is ready, and the memory of one
// that has nothing to do.
func (h *benchHouse) start(ctx context.Context) ([]Row, error) {
	rounds := 7
	if h.cfg.Quick {
		rounds = 1
	}
	var took, idle []float64
	for range rounds {
		from := time.Now() //nolint:forbidigo // who starts a server waits by the clock on the wall
		if err := h.open(ctx); err != nil {
			return nil, err
		}
		if err := h.ready(ctx); err != nil {
			return nil, err
		}
		took = append(took, time.Since(from).Seconds()*1000) //nolint:forbidigo // as above
		if err := wait(ctx, idleAfter); err != nil {
			return nil, err
		}
		resident, err := h.resident()
		if err != nil {
			return nil, err
		}
		idle = append(idle, resident/1e6)
		if err := h.shut(); err != nil {
			return nil, err
		}
	}
	return []Row{
		AtMost("start, to ready", round1(median(took)), unitMillis, maxReady),
		AtMost("memory with nothing to do, server and module", round1(median(idle)), unitMB, maxIdle),
	}, nil
}

// readyAtMost is how long a server that has started is asked whether it is ready.
const readyAtMost = 10 * time.Second

// ready waits until the server says that it is ready.
func (h *benchHouse) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyAtMost)
	defer cancel()
	for {
		status, err := h.get(ctx, "/readyz", nil)
		if err == nil && status == http.StatusNoContent {
			return nil
		}
		if wait(ctx, time.Millisecond) != nil {
			return fmt.Errorf("the home server is not ready: status %d, %w", status, err)
		}
	}
}

// resident is the memory of the home server and its module, in bytes.
func (h *benchHouse) resident() (sum float64, err error) {
	pids, err := h.processes()
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		n, err := residentOf(pid)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}
