package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/license/ident"
)

// library has a library of many titles, and asks for its first page.
func (h *benchHouse) library(ctx context.Context) (rows []Row, err error) {
	titles, rounds := libraryTitles, 15
	if h.cfg.Quick {
		titles, rounds = 200, 3
	}
	if err := h.fill(titles); err != nil {
		return nil, err
	}
	started, all, err := h.startFull(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.shut()) }()
	pids, err := h.processes()
	if err != nil {
		return nil, err
	}
	var took, cpu []float64
	var page bytes.Buffer
	for range rounds {
		page.Reset()
		before, err := cpuOf(pids...)
		if err != nil {
			return nil, err
		}
		from := time.Now() //nolint:forbidigo // who opens a page waits by the clock on the wall
		status, err := h.get(ctx, "/", &page)
		if err != nil || status != http.StatusOK {
			return nil, errors.Join(err, fmt.Errorf("the library page: status %d", status))
		}
		took = append(took, time.Since(from).Seconds()*1000) //nolint:forbidigo // as above
		after, err := cpuOf(pids...)
		if err != nil {
			return nil, err
		}
		cpu = append(cpu, (after-before)*1000)
	}
	if !bytes.Contains(page.Bytes(), []byte(shelfName(0))) {
		return nil, errors.New("the library page does not show the first title")
	}
	resident, err := h.resident()
	name := fmt.Sprintf("library page of %d titles", titles)
	return []Row{
		AtMost(name, round1(median(took)), unitMillis, maxLibraryPage),
		Plain(name+": CPU, server and module", round1(median(cpu)), unitMillis),
		Plain(name+": length", float64(page.Len()), unitBytes),
		AtMost(fmt.Sprintf("start with %d titles, to ready", titles), round1(started), unitMillis, maxReady),
		Plain(fmt.Sprintf("all of %d titles are there", titles), round1(all), unitMillis),
		Plain(fmt.Sprintf("memory with %d titles, server and module", titles), round1(resident/1e6), unitMB),
	}, err
}

// startFull is the time in ms from nothing to a home server that is ready, and to one
// that has looked through its library. It is on when this returns.
func (h *benchHouse) startFull(ctx context.Context) (ready, all float64, err error) {
	rounds := 5
	if h.cfg.Quick {
		rounds = 1
	}
	var took []float64
	var from time.Time
	for n := range rounds {
		if n > 0 {
			if err := h.shut(); err != nil {
				return 0, 0, err
			}
		}
		from = time.Now() //nolint:forbidigo // who starts a server waits by the clock on the wall
		if err := h.open(ctx); err != nil {
			return 0, 0, err
		}
		if err := h.ready(ctx); err != nil {
			return 0, 0, errors.Join(err, h.shut())
		}
		took = append(took, time.Since(from).Seconds()*1000) //nolint:forbidigo // as above
	}
	for looking := true; looking; {
		if err := wait(ctx, 10*time.Millisecond); err != nil {
			return 0, 0, errors.Join(err, h.shut())
		}
		var page bytes.Buffer
		if status, err := h.get(ctx, "/", &page); err != nil || status != http.StatusOK {
			return 0, 0, errors.Join(err, fmt.Errorf("the library page: status %d", status), h.shut())
		}
		looking = bytes.Contains(page.Bytes(), []byte("is looking through"))
	}
	return median(took), time.Since(from).Seconds() * 1000, nil //nolint:forbidigo // as above
}

func shelfName(i int) string { return fmt.Sprintf("A film %05d", i) }

// fill puts many folders into the library, each with a content.json like that of a
// film of a minute, an ID and a name of its own. Their media are not there: who looks
// at a library does not read them.
func (h *benchHouse) fill(titles int) error {
	data, err := os.ReadFile(h.path("packed", filmTitle, content.ManifestName))
	if err != nil {
		return err
	}
	m, err := content.ParseManifest(data)
	if err != nil {
		return err
	}
	var list struct {
		Folders []string `json:"folders"`
	}
	name := h.path("home", "library.json")
	old, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(old, &list); err != nil {
		return err
	}
	for i := range titles - len(list.Folders) {
		folder := h.path("shelf", fmt.Sprint(i))
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
		m.Content, m.Title = ident.Content(fmt.Sprintf("shelf-%d", i)), shelfName(i)
		one, err := m.Encode()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, content.ManifestName), one, 0o600); err != nil { //nolint:gosec // the folder is of the bench
			return err
		}
		list.Folders = append(list.Folders, folder)
	}
	out, err := json.Marshal(list)
	if err != nil {
		return err
	}
	return os.WriteFile(name, out, 0o600)
}
