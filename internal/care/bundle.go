package care

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Report is what a bundle says of one folder: marks, counts and words of fixed
// lists. Whatever could name a person, a house, a title or a machine has no field.
type Report struct {
	Kind    Kind         `json:"kind"`
	Checks  []Checked    `json:"checks"`
	Numbers Numbers      `json:"numbers"`
	Player  *PlayerFacts `json:"player,omitempty"`
}

// Checked is a Row without its sentences.
type Checked struct {
	Check string `json:"check"`
	Mark  Mark   `json:"mark"`
}

// Numbers are what was measured.
type Numbers struct {
	Files          int    `json:"files"`
	Exposed        int    `json:"exposed"`
	Foreign        int    `json:"foreign"`
	FreeBytes      uint64 `json:"free_bytes"`
	TotalBytes     uint64 `json:"total_bytes"`
	InMemory       bool   `json:"in_memory,omitempty"`
	FlushUS        int64  `json:"flush_us"`
	ClockAheadMS   *int64 `json:"clock_ahead_ms,omitempty"`
	CertificateDay int    `json:"certificate_days"`
	StateAgeS      int64  `json:"state_age_s"`
	Peers          int    `json:"peers"`
	PeersAway      int    `json:"peers_away"`
	Serves         bool   `json:"serves"`
}

// PlayerFacts are what the module says of itself, without its identity.
type PlayerFacts struct {
	Busy     bool            `json:"busy,omitempty"`
	Starts   bool            `json:"starts"`
	Role     string          `json:"role"`
	Keystore string          `json:"keystore"`
	Level    uint8           `json:"level"`
	Anchor   uint8           `json:"anchor"`
	Clock    string          `json:"clock"`
	Epoch    uint64          `json:"epoch"`
	Licenses int             `json:"licenses"`
	Records  uint64          `json:"records"`
	SetBack  bool            `json:"set_back,omitempty"`
	Twins    int             `json:"twins,omitempty"`
	Outputs  int             `json:"outputs,omitempty"`
	Walls    map[string]bool `json:"walls"` // which stand
}

// ReportOf says about a folder what a stranger may read.
func ReportOf(f *Facts) Report {
	r := Report{Kind: f.Kind, Checks: []Checked{}}
	for _, row := range Judge(f) {
		r.Checks = append(r.Checks, Checked{row.Check, row.Mark})
	}
	n := &r.Numbers
	n.Files, n.Exposed, n.Foreign = f.Files.Seen, len(f.Files.Exposed), len(f.Files.Foreign)
	n.FreeBytes, n.TotalBytes, n.InMemory, n.FlushUS = f.Disk.Free, f.Disk.Total, f.Disk.Memory, f.Disk.Flush.Microseconds()
	if ahead, ok := f.Offset(); ok {
		ms := ahead.Milliseconds()
		n.ClockAheadMS = &ms
	}
	if !f.Until.IsZero() {
		n.CertificateDay = f.Days()
	}
	if !f.State.IssuedAt.IsZero() {
		n.StateAgeS = int64(f.Now.Sub(f.State.IssuedAt) / time.Second)
	}
	n.Peers, n.Serves = len(f.Peers), f.Port != nil && f.Port.Serves
	for _, p := range f.Peers {
		if p.Err != nil {
			n.PeersAway++
		}
	}
	r.Player = playerFacts(f.Player)
	return r
}

func playerFacts(p *Player) *PlayerFacts {
	if p == nil {
		return nil
	}
	s := &p.Status
	out := &PlayerFacts{
		Busy: p.Busy, Starts: p.Err == nil && !p.Busy, Role: s.Role, Keystore: s.Keystore.Kind, Level: s.Level, Anchor: s.Anchor, Clock: s.Clock.Quality,
		Epoch: s.Epoch, Licenses: s.Licenses, Records: s.Records, SetBack: s.SetBack, Twins: len(s.Twins), Outputs: len(s.Outputs), Walls: map[string]bool{},
	}
	for _, w := range s.Walls {
		out.Walls[w.Name] = w.Stands
	}
	return out
}

// Bundle is what is written for who helps.
type Bundle struct {
	Made    time.Time
	Program any // version, and what built it
	Folders []Report
	Log     []byte // of RedactLog; nil: none
}

// bundleNote is the first file of a bundle.
const bundleNote = `This is a support bundle of Lares. It holds marks, counts and words of fixed lists.
It is made to hold no title, name, address, identifier, path or secret, and it is
plain text: read it before you send it.
`

// Write writes the bundle as a gzip-compressed tar archive.
func (b *Bundle) Write(w io.Writer) error {
	program, err := json.MarshalIndent(b.Program, "", "  ")
	if err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	folders, err := json.MarshalIndent(b.Folders, "", "  ")
	if err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	for _, f := range []struct {
		name string
		data []byte
	}{{"README.txt", []byte(bundleNote)}, {"program.json", program}, {"folders.json", folders}, {"log.txt", b.Log}} {
		if f.data == nil {
			continue
		}
		h := &tar.Header{Name: "lares-support/" + f.name, Mode: 0o600, Size: int64(len(f.data)), ModTime: b.Made.Truncate(time.Second)}
		if err := t.WriteHeader(h); err != nil {
			return fmt.Errorf("write the bundle: %w", err)
		}
		if _, err := io.Copy(t, bytes.NewReader(f.data)); err != nil {
			return fmt.Errorf("write the bundle: %w", err)
		}
	}
	if err := errors.Join(t.Close(), z.Close()); err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	return nil
}
