package bench

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
)

// The files that the bench can be given.
const (
	assumptionsFile = "assumptions"
	figuresFile     = "figures"
)

//go:embed capacity.json
var defaultAssumptions []byte

// monthSeconds is a mean month. Source: local.
const monthSeconds = 365.25 / 12 * 86400

func capacityBench() Bench {
	return Bench{
		Name: "capacity", Short: "Compute nodes, bytes and cost of a license service from measured figures", Run: runCapacity,
		Stores: []string{sqliteStore, postgresStore},
		Files: []File{
			{assumptionsFile, "JSON file of assumptions instead of the ones that are built in, which the output shows"},
			{figuresFile, "report of `lares bench issuer --json` to compute from, instead of measuring now"},
		},
	}
}

// assumption is a number that nobody measured.
type assumption struct {
	Values []float64 `json:"values"` // one, but for the devices
	Unit   string    `json:"unit"`
	Why    string    `json:"why"`
}

// assumptions are all of them, by name.
type assumptions map[string]assumption

// readAssumptions takes exactly the names of the built-in ones, each with numbers
// above zero (spare may be zero).
func readAssumptions(data []byte) (assumptions, error) {
	var want, got assumptions
	if err := json.Unmarshal(defaultAssumptions, &want); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&got); err != nil {
		return nil, fmt.Errorf("assumptions: %w", err)
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			return nil, fmt.Errorf("assumptions: there is no %q; the names are %s", name, strings.Join(want.names(), ", "))
		}
	}
	for name := range want {
		a, ok := got[name]
		if !ok || len(a.Values) == 0 || len(a.Values) > 1 && name != "devices" {
			return nil, fmt.Errorf("assumptions: %q needs one value", name)
		}
		for _, v := range a.Values {
			if v < 0 || v == 0 && name != "spare" || v > 1e15 {
				return nil, fmt.Errorf("assumptions: %q cannot be %v", name, v)
			}
		}
	}
	return got, nil
}

func (a assumptions) names() []string {
	out := make([]string, 0, len(a))
	for name := range a {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func (a assumptions) one(name string) float64 { return a[name].Values[0] }

// figures are what one license costs, as it was measured.
type figures struct {
	service, module, database float64 // µs of a core, with handshake
	live                      float64 // µs of a core in all, in a session that stands
	repeat, repeatDatabase    float64 // µs of a core, of a license without state
	wire, repeatWire, stored  float64 // bytes
}

// runCapacity computes from figures of a file, or of a short run of its own.
func runCapacity(ctx context.Context, cfg Config) ([]Row, error) {
	data := defaultAssumptions
	if name := cfg.Files[assumptionsFile]; name != "" {
		var err error
		if data, err = os.ReadFile(name); err != nil {
			return nil, fmt.Errorf("read the assumptions: %w", err)
		}
	}
	a, err := readAssumptions(data)
	if err != nil {
		return nil, err
	}
	var measured []Row
	if name := cfg.Files[figuresFile]; name != "" {
		if measured, err = readFigures(name); err != nil {
			return nil, err
		}
	} else if measured, err = measureFigures(ctx, cfg); err != nil {
		return nil, err
	}
	f, used, err := figuresOf(measured)
	if err != nil {
		return nil, err
	}
	var rows []Row
	for _, name := range a.names() {
		if name != "devices" {
			rows = append(rows, Plain("assumed: "+strings.ReplaceAll(name, "_", " "), a.one(name), a[name].Unit))
		}
	}
	for _, r := range used {
		rows = append(rows, Plain("measured: "+r.Name, r.Value, r.Unit))
	}
	for _, n := range a["devices"].Values {
		rows = append(rows, capacity(a, f, n)...)
	}
	return rows, nil
}

func readFigures(name string) ([]Row, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read the figures: %w", err)
	}
	var r Report
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("read the figures: %w", err)
	}
	return r.Rows, nil
}

// measureFigures is the part of the issuer's bench that is computed from.
func measureFigures(ctx context.Context, cfg Config) ([]Row, error) {
	return measureIssuer(ctx, cfg, scaleOf(cfg).short(), func(r *issuerRun) []func(context.Context) ([]Row, error) {
		return []func(context.Context) ([]Row, error){r.speed, r.memory}
	})
}

// figuresOf finds what is computed from among the rows of the issuer's bench.
func figuresOf(rows []Row) (f figures, used []Row, err error) {
	find := func(begin, end string) float64 {
		for _, r := range rows {
			if strings.HasPrefix(r.Name, begin) && strings.HasSuffix(r.Name, end) && !strings.Contains(strings.TrimPrefix(r.Name, begin), "handshake") {
				used = append(used, r)
				return r.Value
			}
		}
		err = errors.Join(err, fmt.Errorf("the figures have no row %s…%s: they are not of this program's lares bench issuer", begin, end))
		return 0
	}
	const meet, repeat = "stateful license, with handshake, ", "stateless license, "
	f = figures{
		service: find(meet, "CPU, service"), module: find(meet, "CPU, module"), database: find(meet, "CPU, database"), wire: find(meet, "on the wire"),
		live:   find("stateful license, ", "CPU, service") + find("stateful license, ", "CPU, module") + find("stateful license, ", "CPU, database"),
		repeat: find(repeat, "CPU, service") + find(repeat, "CPU, module"), repeatWire: find(repeat, "on the wire"),
		stored: find("stateful license: in the database", ""),
	}
	for _, r := range rows { // SQLite has none: it is in the service
		if strings.HasPrefix(r.Name, repeat) && strings.HasSuffix(r.Name, "CPU, database") {
			f.repeatDatabase = r.Value
			used = append(used, r)
		}
	}
	return f, used, err
}

// capacity is what so many devices need.
func capacity(a assumptions, f figures, devices float64) []Row {
	homes := devices / a.one("devices_a_household")
	licenses, repeats := homes*a.one("licenses_a_household"), homes*a.one("repeats_a_household") // a month
	peak := a.one("peak") / monthSeconds
	share := a.one("sessions")
	meet := f.service + f.module + f.database
	front := share*(f.service+f.module) + (1-share)*(f.live-f.database)
	core := a.one("core") * a.one("use") * 1e6 // µs of measured work that a core is planned to do in a second
	perNode := core * a.one("cores_a_node")
	serve := math.Ceil((licenses*front+repeats*f.repeat)*peak/perNode) + a.one("spare")
	base := math.Ceil((licenses*f.database+repeats*f.repeatDatabase)*peak/perNode) * a.one("copies")
	gb := licenses * a.one("kept") * f.stored / 1e9 * a.one("copies")
	traffic := (licenses*f.wire + repeats*f.repeatWire) / 1e9
	cost := (serve+base)*a.one("node_price") + gb*a.one("storage_price") + traffic*a.one("traffic_price")
	name := fmt.Sprintf("%.0f devices: ", devices)
	return []Row{
		Plain(name+"licenses that count, at the peak", round1(licenses*peak), unitPerSecond),
		Plain(name+"licenses given once more, at the peak", round1(repeats*peak), unitPerSecond),
		Plain(name+"cores at the peak, all in use", round1((licenses*(share*meet+(1-share)*f.live)+repeats*(f.repeat+f.repeatDatabase))*peak/1e6), "cores"),
		Plain(name+"nodes of the service, each with its module", serve, "nodes"),
		Plain(name+"nodes of the database", base, "nodes"),
		Plain(name+"in the database at the end", math.Round(gb), "GB"),
		Plain(name+"traffic", math.Round(traffic), "GB a month"),
		Plain(name+"cost", math.Round(cost), "EUR a month"),
		Plain(name+"cost of a device", round3(cost*12/devices), "EUR a year"),
	}
}
