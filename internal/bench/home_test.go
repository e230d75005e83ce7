package bench

import (
	"slices"
	"strings"
	"testing"

	"github.com/lares-drm/lares/internal/needs"
)

// TestHome_RowsAreStable runs every part in a real house, too short for a figure.
func TestHome_RowsAreStable(t *testing.T) {
	needs.Long(t)
	for _, tool := range []string{"ffmpeg", "node", "chromium"} {
		needs.Tool(t, tool)
	}
	core := needs.File(t, "../../node_modules/playwright-core", "playwright-core is not installed (make setup installs it)")
	got, err := runHome(t.Context(), Config{Quick: true, Program: programsAt(t), Peers: map[string]string{"playwright-core": core}})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range got {
		names = append(names, r.Name+"|"+r.Unit+"|"+r.Bar)
		if r.Value <= 0 && !strings.Contains(r.Name, "over the clear film") {
			t.Errorf("%s: %v %s was not measured: %s", r.Name, r.Value, r.Unit, r.Note)
		}
	}
	want := []string{
		"start, to ready|ms|<= 1000",
		"memory with nothing to do, server and module|MB|<= 80",
		"first picture of the film in the clear|ms|",
		"first picture through the house|ms|",
		"first picture, over the clear film|ms|<= 150",
		"first picture, against the clear film|times|",
		"streams open at the same time|streams|",
		"processor time for a second of a stream|µs|",
		"streams of 10 Mb/s at half of one core|streams|>= 60",
		"memory while they are read, server and module|MB|<= 200",
		"memory after that, server and module|MB|<= 200",
		"library page of 200 titles|ms|<= 200",
		"library page of 200 titles: CPU, server and module|ms|",
		"library page of 200 titles: length|bytes|",
		"start with 200 titles, to ready|ms|<= 1000",
		"all of 200 titles are there|ms|",
		"memory with 200 titles, server and module|MB|",
	}
	if !slices.Equal(names, want) {
		t.Errorf("rows:\n%s\nwant:\n%s", strings.Join(names, "\n"), strings.Join(want, "\n"))
	}
	if i := slices.IndexFunc(got, func(r Row) bool { return r.Unit == unitStreams }); i < 0 || got[i].Value != 64 {
		t.Errorf("the house has %+v", got)
	}
}

// TestHome_WithoutAPlayerThereIsNoFigure: what cannot be measured does not hold.
func TestHome_WithoutAPlayerThereIsNoFigure(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Chdir(t.TempDir())
	h := &benchHouse{}
	for name, part := range map[string]func() ([]Row, error){
		"playwright-core": func() ([]Row, error) { return h.firstFrame(t.Context()) },
		"ffmpeg":          func() ([]Row, error) { return h.streams(t.Context()) },
	} {
		rows, err := part()
		if err != nil || len(rows) != 1 || rows[0].Holds || rows[0].Note == "" {
			t.Errorf("without %s: %+v, %v", name, rows, err)
		}
	}
	if _, err := runHome(t.Context(), Config{}); err == nil {
		t.Error("a bench of no program")
	}
}
