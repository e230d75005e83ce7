package bench

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// report is what `lares bench issuer --json` prints, as far as it is computed from.
func report(t *testing.T, rows map[string]float64) string {
	t.Helper()
	r := Report{}
	for name, v := range rows {
		r.Rows = append(r.Rows, Plain(name, v, "x"))
	}
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "figures.json")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func someFigures() map[string]float64 {
	const meet, live, again = "stateful license, with handshake, 64 clients: ", "stateful license, 64 clients: ", "stateless license, 64 clients: "
	return map[string]float64{
		meet + "CPU, service": 300, meet + "CPU, module": 500, meet + "CPU, database": 200, meet + "on the wire": 5000,
		live + "CPU, service": 200, live + "CPU, module": 200, live + "CPU, database": 200, live + "on the wire": 2000,
		again + "CPU, service": 150, again + "CPU, module": 100, again + "on the wire": 1500,
		"stateful license: in the database": 1000,
	}
}

// TestCapacity_IsComputed does the sums of a million devices by hand.
func TestCapacity_IsComputed(t *testing.T) {
	rows, err := runCapacity(t.Context(), Config{Files: map[string]string{figuresFile: report(t, someFigures())}})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, r := range rows {
		got[r.Name] = r.Value
		if !r.Holds {
			t.Errorf("%s does not hold", r.Name)
		}
	}
	homes := 1e6 / 3
	month := 365.25 / 12 * 86400.0
	licenses, repeats := homes*8*8/month, homes*60*8/month // a second, at the peak
	for name, want := range map[string]float64{
		"1000000 devices: licenses that count, at the peak":           round1(licenses),
		"1000000 devices: licenses given once more, at the peak":      round1(repeats),
		"1000000 devices: cores at the peak, all in use":              round1((licenses*1000 + repeats*250) / 1e6),
		"1000000 devices: nodes of the service, each with its module": math.Ceil((licenses*800+repeats*250)/(16*0.5*1e6)) + 1,
		"1000000 devices: nodes of the database":                      2,
		"1000000 devices: in the database at the end":                 math.Round(homes * 8 * 60 * 1000 * 2 / 1e9),
		"1000000 devices: traffic":                                    math.Round(homes * (8*5000 + 60*1500) / 1e9),
		"assumed: peak":                                               8, "measured: stateful license: in the database": 1000,
	} {
		if got[name] != want {
			t.Errorf("%s: %v, want %v", name, got[name], want)
		}
	}
	cost := 400*(2+2.0) + got["1000000 devices: in the database at the end"]*0.1 + got["1000000 devices: traffic"]*0.01
	if c := got["1000000 devices: cost"]; math.Abs(c-cost) > 1 {
		t.Errorf("cost %v, want %v", c, cost)
	}
	if big, want := got["100000000 devices: cores at the peak, all in use"], round1(100*(licenses*1000+repeats*250)/1e6); big != want {
		t.Errorf("a hundred times the devices use %v cores, want %v", big, want)
	}
}

func TestCapacity_AssumptionsAreStrict(t *testing.T) {
	for name, tc := range map[string]struct{ from, to, want string }{
		"unknown":  {`"peak"`, `"peek"`, "peek"},
		"missing":  {`"spare": {`, `"spare2": {`, "spare2"},
		"negative": {`"values": [8], "unit": "times`, `"values": [-8], "unit": "times`, "-8"},
		"two":      {`"values": [0.5]`, `"values": [0.5, 1]`, "use"},
		"a field":  {`"unit": "nodes"`, `"units": "nodes"`, "units"},
	} {
		t.Run(name, func(t *testing.T) {
			data := strings.Replace(string(defaultAssumptions), tc.from, tc.to, 1)
			if data == string(defaultAssumptions) {
				t.Fatal("nothing was changed")
			}
			file := filepath.Join(t.TempDir(), "a.json")
			if err := os.WriteFile(file, []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := runCapacity(t.Context(), Config{Files: map[string]string{assumptionsFile: file, figuresFile: report(t, someFigures())}})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want an error that names %s", err, tc.want)
			}
		})
	}
}

func TestCapacity_FiguresOfAnotherBenchAreRefused(t *testing.T) {
	f := someFigures()
	delete(f, "stateless license, 64 clients: CPU, module")
	if _, err := runCapacity(t.Context(), Config{Files: map[string]string{figuresFile: report(t, f)}}); err == nil || !strings.Contains(err.Error(), "CPU, module") {
		t.Errorf("%v, want an error that names the row", err)
	}
}
