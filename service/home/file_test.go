package home

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/home/hometest"
)

// TestLibrary_3_NothingIsWrittenThatCannotBeRead: the old file stays.
func TestLibrary_3_NothingIsWrittenThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	if err := save(dir, "x.json", "old"); err != nil {
		t.Fatal(err)
	}
	if err := save(dir, "x.json", strings.Repeat("x", maxFile)); !errors.Is(err, errTooLarge) {
		t.Errorf("%v, want that it is too large", err)
	}
	var got string
	if err := load(dir, "x.json", &got); err != nil || got != "old" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestLibrary_3_AFileOfAdviceStopsNoHouse: what cannot be read is put aside, and begun
// anew.
func TestLibrary_3_AFileOfAdviceStopsNoHouse(t *testing.T) {
	for _, name := range []string{integrityFile, filmsFile} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		h, err := New(Config{Dir: dir, Module: hometest.New(t, nil), Now: time.Now})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := h.Watch(t.Context(), t.TempDir()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := h.integrity.note("urn:lares:film:demo", record{ReadMS: 1}, time.Now()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if data, err := os.ReadFile(filepath.Join(dir, name+".unread")); err != nil || string(data) != "{" {
			t.Errorf("%s: put aside: %q, %v", name, data, err)
		}
	}
}

// TestLibrary_3_AllFaultsTogetherAreBounded: as many records as there may be, each with
// as many faults, are a file that is read again; each title is still a suspect.
func TestLibrary_3_AllFaultsTogetherAreBounded(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	i, err := openIntegrity(dir)
	if err != nil {
		t.Fatal(err)
	}
	i.saved = now // so that nothing is written before the end
	at := stampRecord{1 << 33, now.UnixNano()}
	for n := range maxRecords {
		r := record{At: at, Sum: content.Digest{1}, ReadMS: now.UnixMilli()}
		for k := range maxFaults {
			r.fault(fmt.Sprintf("%s/%d", strings.Repeat("x", 100), k), FaultDamaged)
		}
		if err := i.note(ident.Content(fmt.Sprintf("%s%032x", OwnPrefix, n)), r, now.Add(time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if err := i.flush(now); err != nil {
		t.Fatal(err)
	}
	if i, err = openIntegrity(dir); err != nil || len(i.records) != maxRecords {
		t.Fatalf("%d records, %v", len(i.records), err)
	}
	for id, r := range i.records {
		if len(r.Faults)+r.Further != maxFaults || !r.faulty() {
			t.Fatalf("%v: %d faults and %d further", id, len(r.Faults), r.Further)
		}
	}
	if i.named > maxNamed || i.named < maxNamed/2 {
		t.Errorf("%d bytes of names", i.named)
	}
	i.keep(nil)
	for id := range i.records {
		i.put(id, record{})
	}
	if i.named != 0 {
		t.Errorf("nothing is named, in %d bytes", i.named)
	}
}
