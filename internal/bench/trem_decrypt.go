package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/trembench"
)

// reel is a film in segments of 4 s.
type reel struct {
	name string
	size int  // of a segment, bytes
	held bool // against a bar
}

// reels are films of 16, 5 and 0.3 Mbit/s. In the last, the round trip is a good
// part of the work.
func reels() []reel {
	return []reel{{"UHD, segments of 8 MB", 8_000_000, true}, {"HD, segments of 2.5 MB", 2_500_000, true}, {"small, segments of 0.15 MB", 150_000, false}}
}

// reelLength is how many segments are played, again and again.
const reelLength = 4

const unitRate = "GB/s"

// tremDecrypt plays files to nowhere: through the module of another process, and
// through one in this.
func tremDecrypt(ctx context.Context, cfg Config, dir string, p *trembench.Player) (rows []Row, err error) {
	m, err := cfg.Start(p.Dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Stop()) }()
	shared, err := m.Buffer(ctx, 9_000_000)
	if err != nil {
		return nil, fmt.Errorf("memory in common with the module: %w", err)
	}
	s, err := m.Begin(ctx, trembench.Watch())
	if err != nil {
		return nil, err
	}
	track, _, err := m.Track(ctx, s.Handle, p.Reel.Init())
	if err != nil {
		return nil, err
	}
	ours := make([]byte, len(shared))
	for i, r := range reels() {
		f, err := newFiles(filepath.Join(dir, fmt.Sprint(i)), p, r.size)
		if err != nil {
			return nil, err
		}
		more, err := r.rates(ctx, cfg, m.PID, []Kernel{
			f.play(read(ours, func(b []byte) ([]byte, error) { return b, p.Decrypt(b) })),
			f.playFiles(ctx, m, trem.Part{Session: s.Handle, Track: track}, shared),
			f.play(read(shared, func(b []byte) ([]byte, error) { return b, m.DecryptBuffer(ctx, s.Handle, track, 0, len(b)) })),
			f.play(read(ours, func(b []byte) ([]byte, error) { return m.Decrypt(ctx, s.Handle, track, b) })),
		})
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	peak, err := trembench.PeakOf(m.PID)
	rows = append(rows, AtMost("resident memory after that, the most", round1(float64(peak)/1e6), unitMB, maxResident))
	return rows, errors.Join(err, m.End(ctx, s.Handle))
}

// rates are the rows of a film: in CPU time of both processes, and by the clock.
func (r reel) rates(ctx context.Context, cfg Config, pid int, kernels []Kernel) ([]Row, error) {
	cpu, clock, err := turnsOfTwo(ctx, playEffort(cfg), pid, kernels)
	if err != nil {
		return nil, err
	}
	rate := func(t []float64) float64 { return math.Round(float64(r.size)/median(t)*100) / 100 }
	against := Plain(r.name+": through the module against this process", share(ratio(cpu[0], cpu[1])), unitTimes)
	if r.held {
		against = AtLeast(against.Name, against.Value, unitTimes, minBoundary)
	}
	return []Row{
		Plain(r.name+": in this process", rate(cpu[0]), unitRate),
		Plain(r.name+": through the module", rate(cpu[1]), unitRate),
		against,
		Plain(r.name+": the same by the clock", share(ratio(clock[0], clock[1])), unitTimes),
		Plain(r.name+": the same, read by the host", share(ratio(cpu[0], cpu[2])), unitTimes),
		Plain(r.name+": the same, in the stream", share(ratio(cpu[0], cpu[3])), unitTimes),
	}, nil
}

// turnsOfTwo is meter.turns for what this process does together with another one:
// the CPU time of both, and the time by the clock.
func turnsOfTwo(ctx context.Context, e effort, pid int, kernels []Kernel) (cpu, clock [][]float64, err error) {
	both := meter{func() (time.Duration, error) {
		self, err := cpuTime()
		other, failed := trembench.CPUOf(pid)
		return self + other, errors.Join(err, failed)
	}}
	n := make([]int, len(kernels))
	cpu, clock = make([][]float64, len(kernels)), make([][]float64, len(kernels))
	for i, k := range kernels {
		if n[i], err = both.calibrate(ctx, k, e.turn); err != nil {
			return nil, nil, err
		}
	}
	for round := range e.rounds {
		for i := range kernels {
			if round%2 == 1 { // who comes after whom changes
				i = len(kernels) - 1 - i
			}
			k := kernels[i]
			var took time.Duration
			timed := func(n int) error {
				begin := time.Now() //nolint:forbidigo // who watches waits by the clock on the wall
				err := k(n)
				took = time.Since(begin) //nolint:forbidigo // as above
				return err
			}
			t, err := both.turn(ctx, timed, n[i])
			if err != nil {
				return nil, nil, err
			}
			cpu[i] = append(cpu[i], float64(t)/float64(n[i]))
			clock[i] = append(clock[i], float64(took)/float64(n[i]))
		}
	}
	return cpu, clock, nil
}

// playEffort has long turns: a film plays for hours, and a turn's first segments
// find the processor's caches full of what came before. And it has many: what two
// processes have of a machine that others use, too, moves more than what one has.
func playEffort(cfg Config) effort {
	switch {
	case cfg.Quick:
		return cfg.effort()
	case cfg.Full:
		return effort{rounds: 41, turn: time.Second}
	}
	return effort{rounds: 15, turn: 500 * time.Millisecond}
}

// files are the segments of a film.
type files []string

func newFiles(dir string, p *trembench.Player, size int) (files, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	var out files
	for i := range reelLength {
		seg, err := p.Reel.Segment(i, size)
		if err != nil {
			return nil, err
		}
		out = append(out, filepath.Join(dir, fmt.Sprint(i)))
		if err := os.WriteFile(out[i], seg, 0o600); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// decrypter gives the clear form of a segment, which is a file of n bytes.
type decrypter func(f *os.File, n int) ([]byte, error)

// play opens segment after segment, has each decrypted, and throws it away. Who
// decrypts, and who reads, is all that differs from one kernel to the next.
func (f files) play(decrypt decrypter) Kernel {
	return func(n int) error {
		for i := range n {
			if err := playOne(f[i%len(f)], decrypt); err != nil {
				return err
			}
		}
		return nil
	}
}

func playOne(name string, decrypt decrypter) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	info, err := f.Stat()
	if err != nil {
		return err
	}
	out, err := decrypt(f, int(info.Size()))
	if err != nil {
		return err
	}
	if int64(len(out)) != info.Size() {
		return fmt.Errorf("%d bytes of %d came back", len(out), info.Size())
	}
	_, err = io.Discard.Write(out)
	return err
}

// playFiles is play by a module that is given files, as many with a command as
// have their place in the buffer, and not more than three: twelve seconds.
func (f files) playFiles(ctx context.Context, m *Module, p trem.Part, shared []byte) Kernel {
	return func(n int) error {
		for i := 0; i < n; {
			list, err := f.open(i, min(n-i, 3), len(shared))
			if err == nil {
				var done int
				done, err = m.DecryptFiles(ctx, p.Session, p.Track, list...)
				if err == nil && done < len(list) {
					err = fmt.Errorf("%d of %d segments are done", done, len(list))
				}
			}
			for _, one := range list {
				if err == nil {
					_, err = io.Discard.Write(shared[one.At:][:one.Bytes])
				}
				err = errors.Join(err, one.Close())
			}
			if err != nil {
				return err
			}
			i += len(list)
		}
		return nil
	}
}

// open opens the segments from one on, at most so many and so many bytes.
func (f files) open(from, most, room int) (list []trem.SegmentFile, err error) {
	at := 0
	for i := from; i < from+most; i++ {
		file, err := os.Open(f[i%len(f)])
		if err != nil {
			return list, err
		}
		info, err := file.Stat()
		if err != nil || at+int(info.Size()) > room {
			return list, errors.Join(err, file.Close())
		}
		list = append(list, trem.SegmentFile{File: file, At: at, Bytes: int(info.Size())})
		at += int(info.Size())
	}
	return list, nil
}

// read reads a segment into memory before it is decrypted.
func read(mem []byte, decrypt func([]byte) ([]byte, error)) decrypter {
	return func(f *os.File, n int) ([]byte, error) {
		if _, err := io.ReadFull(f, mem[:n]); err != nil {
			return nil, err
		}
		return decrypt(mem[:n])
	}
}
