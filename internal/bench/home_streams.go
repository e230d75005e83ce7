package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lares-drm/lares/content"
)

// streamRate is what the film takes, in bit/s.
const streamRate = 10e6

// watcher is a browser's session, and what of it is read.
type watcher struct {
	ID    string `json:"id"`
	track *content.TrackFiles
}

// streams has as many sessions open as a house may have, and reads them all at the
// same time, as fast as they come. What is counted is the processor time of the server
// and its module for a second of film.
func (h *benchHouse) streams(ctx context.Context) (rows []Row, err error) {
	name := "streams of 10 Mb/s at half of one core"
	if _, ok := h.cfg.Peer("ffmpeg"); !ok {
		return []Row{Absent(name, unitStreams, noFFmpeg)}, nil
	}
	if err := h.open(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.shut()) }()
	all, err := h.watchAll(ctx)
	if err != nil {
		return nil, err
	}
	rounds := 7
	if h.cfg.Quick {
		rounds = 1
	}
	var each []float64 // s of processor time for a second of film
	most, stop := h.watchMemory()
	defer stop()
	for range rounds {
		one, err := h.readAll(ctx, all)
		if err != nil {
			return nil, err
		}
		each = append(each, one)
	}
	stop()
	resident, err := h.resident()
	cost := median(each)
	return []Row{
		Plain("streams open at the same time", float64(len(all)), unitStreams),
		Plain("processor time for a second of a stream", micros(cost*1e9), unitMicros),
		AtLeast(name, round1(0.5/cost), unitStreams, minStreams),
		AtMost("memory while they are read, server and module", round1(max(most(), resident)/1e6), unitMB, maxStreaming),
		AtMost("memory after that, server and module", round1(resident/1e6), unitMB, maxStreaming),
	}, err
}

// looksEvery is how often the memory of a server at work is read.
const looksEvery = 50 * time.Millisecond

// watchMemory reads the memory of server and module until stop is called. Then most
// gives the most of it, in bytes; a reading that fails is none.
func (h *benchHouse) watchMemory() (most func() float64, stop func()) {
	var top float64
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			if now, err := h.resident(); err == nil {
				top = max(top, now)
			}
			select {
			case <-ended:
				return
			case <-time.After(looksEvery):
			}
		}
	}()
	stop = sync.OnceFunc(func() {
		close(ended)
		<-done
	})
	return func() float64 { stop(); return top }, stop
}

// watchAll opens sessions until the house has as many as it takes.
func (h *benchHouse) watchAll(ctx context.Context) (all []*watcher, err error) {
	data, err := os.ReadFile(h.path("packed", streamTitle, content.ManifestName))
	if err != nil {
		return nil, err
	}
	m, err := content.ParseManifest(data)
	if err != nil {
		return nil, err
	}
	order, err := json.Marshal(map[string]any{"content": m.Content})
	if err != nil {
		return nil, err
	}
	for {
		var out bytes.Buffer
		status, err := h.ask(ctx, http.MethodPost, "/api/v1/sessions", order, &out)
		if err != nil {
			return nil, err
		}
		if status == http.StatusConflict && len(all) > 0 {
			return all, nil
		}
		w := &watcher{track: &m.Tracks[0]}
		if err := json.Unmarshal(out.Bytes(), w); err != nil || status != http.StatusCreated {
			return nil, fmt.Errorf("the house opens no session: status %d: %s, %w", status, out.Bytes(), err)
		}
		all = append(all, w)
	}
}

// readAll reads every session from its begin to its end, and gives the processor time
// in s for a second of film.
func (h *benchHouse) readAll(ctx context.Context, all []*watcher) (float64, error) {
	pids, err := h.processes()
	if err != nil {
		return 0, err
	}
	before, err := cpuOf(pids...)
	if err != nil {
		return 0, err
	}
	read := make([]int64, len(all))
	g, gctx := errgroup.WithContext(ctx)
	for i, w := range all {
		g.Go(func() (err error) {
			read[i], err = h.readOne(gctx, w)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	after, err := cpuOf(pids...)
	sum := int64(0)
	for _, n := range read {
		sum += n
	}
	return (after - before) / (float64(sum) * 8 / streamRate), err
}

// readOne reads a session's picture, and wants other bytes than those that were packed.
func (h *benchHouse) readOne(ctx context.Context, w *watcher) (sum int64, err error) {
	for i, s := range w.track.Segments {
		n := &counter{}
		status, err := h.get(ctx, fmt.Sprintf("/play/%s/%s/%d", w.ID, w.track.Name, i), n)
		if err != nil {
			return 0, err
		}
		if status != http.StatusOK || n.bytes != s.Bytes {
			return 0, fmt.Errorf("segment %d: status %d, %d bytes of %d", i, status, n.bytes, s.Bytes)
		}
		sum += n.bytes
	}
	return sum, nil
}

// counter counts what is written to it.
type counter struct{ bytes int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.bytes += int64(len(p))
	return len(p), nil
}

var _ io.Writer = (*counter)(nil)
