package permission_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license/permission"
)

func encode(tb testing.TB, text string) permission.Code {
	tb.Helper()
	u, err := permission.ParseText(text)
	if err != nil {
		tb.Fatal(err)
	}
	c, err := u.Encode()
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func TestIEC62227_UnknownSurvivesAndIsReported(t *testing.T) {
	u, err := permission.Parse(encode(t, "PLAY; X.10.7F=cafe; RENDER; X.11.7E=; COPY=FREE; X.30.20=01; EXPORT=hls; X.40.02=01; LEND; X.20.70=05; CHARGE=FREE; X.02.60=07; X.15=00ff; X.15=00; X.50=aa; X.2F="))
	if err != nil {
		t.Fatal(err)
	}
	all := []string{"unit 0x15", "unit 0x15", "unit 0x2f"}
	for p, own := range map[permission.Permission][]string{
		permission.Play: {"unit 0x10 item 0x7f", "unit 0x30 item 0x20"}, permission.Render: {"unit 0x11 item 0x7e", "unit 0x30 item 0x20"}, permission.Copy: {"unit 0x30 item 0x20"}, permission.Move: {"unit 0x30 item 0x20"},
		permission.Lend: {"unit 0x20 item 0x70", "unit 0x30 item 0x20"}, permission.Export: {"unit 0x30 item 0x20", "unit 0x40 item 0x02"},
		0: {"unit 0x10 item 0x7f", "unit 0x11 item 0x7e", "unit 0x20 item 0x70", "unit 0x30 item 0x20", "unit 0x40 item 0x02"},
	} {
		if d := cmp.Diff(append(slices.Clone(all), own...), u.UnknownCritical(p)); d != "" {
			t.Errorf("%v: %s", p, d)
		}
	}
	if d := cmp.Diff([]string{"unit 0x50", "unit 0x02 item 0x60"}, u.UnknownOther()); d != "" {
		t.Error(d)
	}
}

// Each row breaks one rule of docs/spec/permission.md.
func TestIEC62227_MalformedCodes(t *testing.T) {
	long := bytes.Repeat([]byte{0x50, 0x00}, 40)
	for name, code := range map[string]permission.Code{
		"empty":                   {},
		"unknown profile":         {2, 0, 1, 1},
		"no version":              {1, 0x10, 0},
		"version twice":           {1, 0, 1, 1, 0, 1, 1},
		"version 2":               {1, 0, 1, 2},
		"version of two bytes":    {1, 0, 2, 0, 1},
		"order of units":          {1, 0, 1, 1, 0x30, 0, 0x10, 0},
		"actor twice":             {1, 0, 1, 1, 1, 0, 1, 0},
		"cut":                     {1, 0, 1, 1, 0x10, 5, 1},
		"length without bytes":    {1, 0, 1, 1, 0x10},
		"long form for short":     {1, 0, 1, 1, 0x10, 0x81, 1, 0},
		"two bytes for one":       append(permission.Code{1, 0, 1, 1, 0x50, 0x82, 0, 0x80}, make([]byte, 0x80)...),
		"reserved length form":    {1, 0, 1, 1, 0x50, 0x83, 0, 0, 1, 0},
		"too many units":          append(permission.Code{1, 0, 1, 1}, long...),
		"too long":                make(permission.Code, permission.MaxCode+1),
		"order of items":          {1, 0, 1, 1, 0x10, 6, 4, 1, 1, 2, 1, 1},
		"item twice":              {1, 0, 1, 1, 0x10, 6, 4, 1, 1, 4, 1, 1},
		"number 0":                {1, 0, 1, 1, 0x10, 3, 4, 1, 0},
		"empty number":            {1, 0, 1, 1, 0x10, 2, 4, 0},
		"leading zero":            {1, 0, 1, 1, 0x10, 4, 4, 2, 0, 1},
		"number of nine bytes":    {1, 0, 1, 1, 0x10, 11, 1, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1},
		"count of 2^32":           {1, 0, 1, 1, 0x10, 7, 4, 5, 1, 0, 0, 0, 0},
		"time of 2^53":            {1, 0, 1, 1, 0x10, 9, 1, 7, 0x20, 0, 0, 0, 0, 0, 0},
		"protection 5":            {1, 0, 1, 1, 0x10, 3, 6, 1, 5},
		"empty part":              {1, 0, 1, 1, 0x10, 2, 8, 0},
		"content ID of 65 bytes":  append(permission.Code{1, 0, 1, 1, 1, 67, 1, 65}, make([]byte, 65)...),
		"empty issuer":            {1, 0, 1, 1, 1, 2, 2, 0},
		"receiver kind 4":         append(permission.Code{1, 0, 1, 1, 1, 19, 3, 17, 4}, make([]byte, 16)...),
		"receiver of 15 bytes":    append(permission.Code{1, 0, 1, 1, 1, 18, 3, 16, 1}, make([]byte, 15)...),
		"country of one letter":   {1, 0, 1, 1, 2, 3, 7, 1, 'D'},
		"country in small letter": {1, 0, 1, 1, 2, 4, 7, 2, 'd', 'e'},
		"countries not sorted":    {1, 0, 1, 1, 2, 6, 7, 4, 'F', 'R', 'D', 'E'},
		"country twice":           {1, 0, 1, 1, 2, 6, 7, 4, 'D', 'E', 'D', 'E'},
		"sponsor with ;":          {1, 0, 1, 1, 2, 5, 6, 3, 'a', ';', 'b'},
		"sponsor not UTF-8":       {1, 0, 1, 1, 2, 3, 6, 1, 0xff},
		"copy mode 6":             {1, 0, 1, 1, 0x30, 3, 1, 1, 6},
		"counted without count":   {1, 0, 1, 1, 0x30, 3, 1, 1, 2},
		"count without counted":   {1, 0, 1, 1, 0x30, 6, 1, 1, 1, 2, 1, 9},
		"move scope 3":            {1, 0, 1, 1, 0x30, 3, 4, 1, 3},
		"transcode 4":             {1, 0, 1, 1, 0x30, 3, 6, 1, 4},
		"encryption 3":            {1, 0, 1, 1, 0x30, 3, 7, 1, 3},
		"timeline 3":              {1, 0, 1, 1, 0x30, 3, 8, 1, 3},
		"end at the start":        {1, 0, 1, 1, 0x10, 6, 1, 1, 9, 2, 1, 9},
		"end before the start":    {1, 0, 1, 1, 0x10, 6, 1, 1, 9, 2, 1, 8},
		"trailing byte":           {1, 0, 1, 1, 0x10, 0, 0x11},
		"sponsor ends in NBSP":    {1, 0, 1, 1, 2, 5, 6, 3, 'a', 0xc2, 0xa0},
		"sponsor with C1 control": {1, 0, 1, 1, 2, 6, 6, 4, 'a', 0xc2, 0x85, 'a'},
		"system in capitals":      {1, 0, 1, 1, 0x40, 3, 1, 1, 'A'},
		"system empty":            {1, 0, 1, 1, 0x40, 2, 1, 0},
		"systems not sorted":      {1, 0, 1, 1, 0x40, 6, 1, 1, 'b', 1, 1, 'a'},
		"system twice":            {1, 0, 1, 1, 0x40, 6, 1, 1, 'a', 1, 1, 'a'},
	} {
		if u, err := permission.Parse(code); !errors.Is(err, permission.ErrMalformed) {
			t.Errorf("%s: got %+v, %v; want ErrMalformed", name, u, err)
		}
	}
}

func TestIEC62227_Lengths(t *testing.T) {
	for _, n := range []int{0, 1, 127, 128, 255, 256, 900} {
		u := &permission.Units{Unknown: []permission.Item{{Tag: 0x50, Value: make([]byte, n)}}}
		c, err := u.Encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := permission.Parse(c)
		if err != nil || len(back.Unknown[0].Value) != n {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if _, err := (&permission.Units{Unknown: []permission.Item{{Tag: 0x50, Value: make([]byte, permission.MaxCode)}}}).Encode(); !errors.Is(err, permission.ErrInvalid) {
		t.Errorf("over the limit: %v", err)
	}
	if _, err := (&permission.Units{Profile: 9}).Encode(); !errors.Is(err, permission.ErrInvalid) {
		t.Errorf("unknown profile: %v", err)
	}
	if _, err := (&permission.Units{Export: &permission.ExportUnit{Systems: []string{"B"}}}).Encode(); !errors.Is(err, permission.ErrInvalid) {
		t.Errorf("system name: %v", err)
	}
}

func TestText_Errors(t *testing.T) {
	for _, bad := range []string{
		"FLY", "PLAY_COUNT=3", "PLAY; PLAY_COUNT=0", "PLAY; PLAY_COUNT=-1", "PLAY; PLAY_COUNT=x", "PLAY=1", "PLAY; INTERVAL=48", "PLAY; INTERVAL=0h", "PLAY; INTERVAL=h", "PLAY; START_TIME=yesterday",
		"PLAY; START_TIME=2026-01-01T00:00:00.0001Z", "PLAY; START_TIME=@0", "PLAY; OUTPUT_PROTECTION=WISHES", "PLAY; RESOLUTION<=big", "PLAY; RESOLUTION<=70000x70000", "PLAY; PART=zz", "PLAY; PART=", "PLAY; TERRITORY=", "SPONSOR=", "PLAY; PLAY_COUNT",
		"LEND_TIME=1d", "COPY=COUNTED", "COPY_COUNT=3", "TERRITORY=Germany", "RECEIVER=domain:00", "RECEIVER=planet:0102030405060708090a0b0c0d0e0f10",
		"PLAY; INTERVAL=-48h", "PLAY; INTERVAL=+48h", "PLAY; INTERVAL=99999999999999999999h", "PLAY; START_TIME=@-1", "PLAY; PLAY_COUNT=4294967296", "PLAY; START_TIME=@2; END_TIME=@2", "PLAY; START_TIME=@2; END_TIME=@1",
		"PLAY; PLAY_COUNT=1; PLAY_COUNT=2", "LEND; LEND_TIME=1d; LEND_TIME=1d", "COPY=FREE; COPY=FREE", "EXPORT=a; EXPORT=b", "MANAGEMENT; MANAGEMENT", "CHARGE=GIFT; CHARGE=GIFT", "PLAY_COUNT<=3", "PLAY; PLAY_COUNT<=3",
		"TRANSCODE=4", "TRANSCODE=0", "ENCRYPTION=3", "TIMELINE=3", "TIMELINE=SKIP", "PLAY; X.10.04=03", "COPY=FREE; X.30.06=01",
		"X.10=00", "X.ZZ=00", "X.10.7F=00", "PLAY; X.10.7F=zz", "PLAY; X.10.ZZ=00", "X.100=00", "PLAY; INTERVAL=300000000d", "EXPORT=Clearkey", strings.Repeat(" ", 9000),
	} {
		if u, err := permission.ParseText(bad); !errors.Is(err, permission.ErrText) {
			t.Errorf("%q: got %+v, %v; want ErrText", bad, u, err)
		}
	}
}

func TestText_Forms(t *testing.T) {
	for in, want := range map[string]string{
		"PLAY;INTERVAL=2d": "PLAY; INTERVAL=48h", "PLAY; INTERVAL=72h": "PLAY; INTERVAL=3d", "PLAY; INTERVAL=1500ms": "PLAY; INTERVAL=1500ms", "PLAY; INTERVAL=120m": "PLAY; INTERVAL=2h",
		" PLAY ; ; RESOLUTION <= 1920x1080 ": "PLAY; RESOLUTION<=1080p", "PLAY; RESOLUTION<=520000": "PLAY; RESOLUTION<=520000", "EXPORT=hls, clearkey": "EXPORT=clearkey,hls",
		"PLAY; START_TIME=2026-01-01T01:00:00+01:00": "PLAY; START_TIME=2026-01-01T00:00:00Z", "PLAY; END_TIME=@9007199254740991": "PLAY; END_TIME=@9007199254740991",
		"RENDER; PLAY": "PLAY; RENDER", "PLAY; PLAY_COUNT=1; COPY=FREE; PLAY; PLAY_COUNT=2": "PLAY; PLAY_COUNT=1; PLAY; PLAY_COUNT=2; COPY=FREE",
		"TIMELINE=NO_SKIP; ENCRYPTION=1; TRANSCODE=LOWER": "TRANSCODE=LOWER; ENCRYPTION=KEEP; TIMELINE=NO_SKIP", "TRANSCODE=3; ENCRYPTION=2; TIMELINE=2": "TRANSCODE=FREE; ENCRYPTION=RELEASE; TIMELINE=FREE", "TRANSCODE=DENY": "TRANSCODE=DENY",
		"LEND; LEND_TIME=3d; LEND; LEND_TIME=4d": "LEND; LEND_TIME=3d; LEND; LEND_TIME=4d", "CHARGE=77": "CHARGE=77", "CHARGE=2": "CHARGE=RENTAL", "CONTENT=0x00ff": "CONTENT=0x00ff", "ISSUER=0x41": "ISSUER=A", "ISSUER=a;": "ISSUER=a",
		"": "", "ACTOR; CLASSIFICATION; MANAGEMENT; EXPORT=": "MANAGEMENT; EXPORT=; CLASSIFICATION; ACTOR",
	} {
		u, err := permission.ParseText(in)
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		if got := u.Text(); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
