package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"

	"github.com/lares-drm/lares/content/packager"
)

// Bars of the content bench. Sources: docs/performance.md; times are CPU time
// against peers, and time by the clock against cp.
const (
	minShakaCENC  = 5
	minShakaCBCS  = 2.5
	minFFmpeg     = 8
	minMP4FF      = 1.4
	maxCopy       = 1.6
	maxViewMemory = 64 // MB of 1,000,000 bytes
	maxPackaging  = 0.5
	minCBC        = 2.5 // GB/s a core
	maxSmall      = 0.6 // µs a sample over the cipher
	minLink       = 0.7
)

const (
	contentKID = "0123456789abcdef0123456789abcdef"
	contentKey = "00112233445566778899aabbccddeeff"
)

func contentBench() Bench {
	return Bench{
		Name: "content", Short: "Decrypt and pack a film beside other tools, and link encryption",
		Peers: []string{"shaka-packager", "ffmpeg", "cp"}, Run: runContent,
	}
}

func runContent(ctx context.Context, cfg Config) ([]Row, error) {
	rows, err := contentKernels(ctx, cfg)
	if err != nil {
		return nil, err
	}
	more, err := runContentFilm(ctx, cfg)
	return append(rows, more...), err
}

// runContentFilm works in memory (/dev/shm) where there is such a folder: disks are
// not what is compared.
func runContentFilm(ctx context.Context, cfg Config) (rows []Row, err error) {
	parent := "/dev/shm"
	if _, err := os.Stat(parent); err != nil {
		parent = "."
	}
	dir, err := os.MkdirTemp(parent, "lares-bench-*")
	if err != nil {
		return nil, fmt.Errorf("folder of the bench: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // the folder is named after the bench
	film := &reelFilm{cfg: cfg, dir: dir}
	if why := film.missing(); why != "" {
		return []Row{Absent("decrypt and pack a film", unitTimes, why)}, nil
	}
	if err := film.make(ctx); err != nil {
		return nil, err
	}
	debug.FreeOSMemory() // a child that starts is charged with what this process holds
	for _, scheme := range []string{"cenc", "cbcs"} {
		more, err := film.decrypt(ctx, scheme)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	more, err := film.pack(ctx)
	if err != nil {
		return nil, err
	}
	rows = append(rows, more...)
	more, err = film.large(ctx)
	return append(rows, more...), err
}

// rounds is how often each tool works on the film.
func (f *reelFilm) rounds() int {
	switch {
	case f.cfg.Quick:
		return 1
	case f.cfg.Full:
		return 11
	}
	return 5
}

// decrypt has every tool decrypt the same file, in turns.
func (f *reelFilm) decrypt(ctx context.Context, scheme string) ([]Row, error) {
	tools := f.decrypters(scheme)
	used, err := f.turns(ctx, tools)
	if err != nil {
		return nil, err
	}
	want, err := packager.StreamHashes(f.path("clear.mp4"))
	if err != nil {
		return nil, err
	}
	for _, t := range tools {
		if t.argv == nil {
			continue
		}
		got, err := packager.StreamHashes(t.out)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
		if got["video"] != want["video"] && !t.copies {
			return nil, fmt.Errorf("%s: %w", t.name, errWrongStream)
		}
		if err := os.Remove(t.out); err != nil {
			return nil, err
		}
	}
	return decryptRows(scheme, tools, used), nil
}

// errWrongStream is returned when a tool gives another stream than the clear one:
// then its time says nothing.
var errWrongStream = errors.New("the stream is not that of the clear file")

func decryptRows(scheme string, tools []tool, used map[string]spent) []Row {
	ours := used["lares"]
	rows := []Row{
		Plain(scheme+": lares, CPU", round3(ours.cpu), unitSeconds),
		Plain(scheme+": lares, clock", round3(ours.wall), unitSeconds),
		AtMost(scheme+": lares, memory", round1(ours.rss/1e6), unitMB, maxViewMemory),
	}
	bars := map[string]float64{"ffmpeg": minFFmpeg, "mp4ff": minMP4FF, "shaka-packager": minShakaCENC}
	if scheme == "cbcs" {
		bars = map[string]float64{"shaka-packager": minShakaCBCS}
	}
	for _, t := range tools[1:] {
		u, ok := used[t.name]
		name := fmt.Sprintf("%s: %s, CPU against lares", scheme, t.name)
		switch bar, held := bars[t.name]; {
		case !ok:
			rows = append(rows, Absent(name, unitTimes, t.why))
			continue
		case t.copies:
			rows = append(rows, AtMost(scheme+": lares, clock against cp", round2(ours.wall/u.wall), unitTimes, maxCopy))
			continue
		case held:
			rows = append(rows, AtLeast(name, round2(u.cpu/ours.cpu), unitTimes, bar))
		default:
			rows = append(rows, Plain(name, round2(u.cpu/ours.cpu), unitTimes))
		}
		rows = append(rows,
			Plain(fmt.Sprintf("%s: %s, CPU", scheme, t.name), round3(u.cpu), unitSeconds),
			Plain(fmt.Sprintf("%s: %s, clock", scheme, t.name), round3(u.wall), unitSeconds),
			Plain(fmt.Sprintf("%s: %s, memory", scheme, t.name), round1(u.rss/1e6), unitMB))
	}
	return rows
}

// pack has the packers make a protected film of the clear one.
func (f *reelFilm) pack(ctx context.Context) ([]Row, error) {
	tools := f.packers()
	used, err := f.turns(ctx, tools)
	if err != nil {
		return nil, err
	}
	ours := used["lares"]
	rows := []Row{Plain("pack: lares, CPU", round3(ours.cpu), unitSeconds), Plain("pack: lares, memory", round1(ours.rss/1e6), unitMB)}
	const name = "pack: CPU against shaka-packager"
	peer, ok := used["shaka-packager"]
	if !ok {
		return append(rows, Absent(name, unitTimes, tools[1].why)), nil
	}
	return append(rows, Plain("pack: shaka-packager, CPU", round3(peer.cpu), unitSeconds), AtMost(name, round2(ours.cpu/peer.cpu), unitTimes, maxPackaging)), nil
}

// large decrypts a file of 2 GB to nowhere: memory does not grow with the file.
func (f *reelFilm) large(ctx context.Context) ([]Row, error) {
	if err := f.makeLarge(ctx); err != nil {
		return nil, err
	}
	t := tool{name: "lares", argv: []string{f.cfg.Program, "content", "decrypt", "--key", contentKID + "=" + contentKey, f.path("large.mp4"), "-"}}
	used, err := t.run(ctx)
	if err != nil {
		return nil, err
	}
	return []Row{
		Plain("a file of 2 GB: clock", round3(used.wall), unitSeconds),
		AtMost("a file of 2 GB: memory", round1(used.rss/1e6), unitMB, maxViewMemory),
	}, os.Remove(f.path("large.mp4"))
}

// turns runs tools that are there, one after the other, again and again, and
// gives the medians of each.
func (f *reelFilm) turns(ctx context.Context, tools []tool) (map[string]spent, error) {
	all := map[string][]spent{}
	for range f.rounds() {
		for _, t := range tools {
			if t.argv == nil {
				continue
			}
			u, err := t.run(ctx)
			if err != nil {
				return nil, err
			}
			all[t.name] = append(all[t.name], u)
		}
	}
	out := map[string]spent{}
	for name, turns := range all {
		of := func(get func(spent) float64) float64 {
			var x []float64
			for _, u := range turns {
				x = append(x, get(u))
			}
			return median(x)
		}
		out[name] = spent{
			wall: of(func(u spent) float64 { return u.wall }), cpu: of(func(u spent) float64 { return u.cpu }),
			rss: slices.MaxFunc(turns, func(a, b spent) int { return int(a.rss - b.rss) }).rss,
		}
	}
	return out, nil
}

const unitSeconds = "s"

func (f *reelFilm) path(name string) string { return filepath.Join(f.dir, name) }

func round2(x float64) float64 { return math.Round(x*100) / 100 }
func round3(x float64) float64 { return math.Round(x*1000) / 1000 }
