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

// The scenarios of IEC TR 62636: each is expressible, survives encoding, and
// grants what it says and nothing else.
func TestTR62636_Scenarios(t *testing.T) {
	const (
		play   = permission.Play
		render = permission.Render
		cp     = permission.Copy
		move   = permission.Move
		give   = permission.Transfer
		lend   = permission.Lend
		export = permission.Export
	)
	for _, tc := range []struct {
		name, text string
		grants     []permission.Permission
	}{
		{"content purchase", "PLAY; MOVE=DOMAIN; TRANSFER=10; LEND; LEND_TIME=14d; CHARGE=PURCHASE; BILLING=ONCE", []permission.Permission{play, move, give, lend}},
		{"rental with time limit", "PLAY; END_TIME=2026-12-24T18:00:00Z; INTERVAL=48h; CHARGE=RENTAL", []permission.Permission{play}},
		{"rental with play limit", "PLAY; PLAY_COUNT=3; CHARGE=RENTAL", []permission.Permission{play}},
		{"subscription", "PLAY; END_TIME=2026-12-31T23:00:00Z; CHARGE=SUBSCRIPTION; BILLING=PERIODIC", []permission.Permission{play}},
		{"direct retrieval from a device", "PLAY; RECEIVER=device:0102030405060708090a0b0c0d0e0f10", []permission.Permission{play}},
		{"unlimited play", "PLAY", []permission.Permission{play}},
		{"preview", "PLAY; ACCUMULATED=30s; PURPOSE=PREVIEW; CHARGE=FREE", []permission.Permission{play}},
		{"several permissions for one multipart content", "PLAY; PART=01; PLAY; PLAY_COUNT=1; PART=02; RENDER; PART=03", []permission.Permission{play, render}},
		{"inheritance", "PLAY; MOVE=ANY; TRANSFER=1", []permission.Permission{play, move, give}},
		{"export of OMA DRM content", "PLAY; PLAY_COUNT=5; EXPORT=oma-drm-2", []permission.Permission{play, export}},
		{"combined constraints", "PLAY; START_TIME=2026-11-24T18:00:00Z; END_TIME=2026-12-24T18:00:00Z; INTERVAL=48h; PLAY_COUNT=2; ACCUMULATED=10h; OUTPUT_PROTECTION=HDCP_2_2; RESOLUTION<=1080p; TERRITORY=DE,FR", []permission.Permission{play}},
		{"FairPlay-style rules", "PLAY; COPY=COUNTED; COPY_COUNT=4; MAX_GENERATION=1; EXPORT=audio-cd", []permission.Permission{play, cp, export}},
		{"CPRM-style rules", "PLAY; COPY=ONCE; MOVE=ANY", []permission.Permission{play, cp, move}},
		{"SAFIA-style rules", "PLAY; PLAY_COUNT=8; COPY=COUNTED; COPY_COUNT=3; MOVE=ANY; OUTPUT_PROTECTION=HDCP_1", []permission.Permission{play, cp, move}},
		{"ringtones", "PLAY; COPY=NEVER; APPLICATION=RINGTONE", []permission.Permission{play}},
		{"download free with advertising", "PLAY; COPY=FREE; CHARGE=ADVERTISING; SPONSOR=Example Motors", []permission.Permission{play, cp}},
		{"streaming free with advertising", "PLAY; COPY=NEVER; CHARGE=ADVERTISING; SPONSOR=Example Motors; USAGE_CLASS=LIVE", []permission.Permission{play}},
		{"giveaways", "PLAY; COPY=FREE; MOVE=ANY; CHARGE=GIFT", []permission.Permission{play, cp, move}},
		{"coupons or points", "PLAY; PLAY_COUNT=1; CHARGE=POINTS; BILLING=PER_USE", []permission.Permission{play}},
		{"disclosure of private data", "PLAY; RENDER; DISCLOSURE=PRIVATE; RECEIVER=user:0102030405060708090a0b0c0d0e0f10; END_TIME=2027-01-01T00:00:00Z", []permission.Permission{play, render}},
		{"nine copies with unlimited moves", "PLAY; COPY=COUNTED; COPY_COUNT=9; MAX_GENERATION=1; MOVE=ANY", []permission.Permission{play, cp, move}},
		{"game subscription", "EXECUTE; END_TIME=2026-12-31T23:00:00Z; CHARGE=SUBSCRIPTION; APPLICATION=GAME", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			u, err := permission.Parse(encode(t, tc.text))
			if err != nil {
				t.Fatal(err)
			}
			var got []permission.Permission
			for p := permission.Play; p <= permission.Export; p++ {
				if u.Grants(p) {
					got = append(got, p)
				}
			}
			if d := cmp.Diff(tc.grants, got); d != "" {
				t.Error(d)
			}
			again, err := permission.ParseText(u.Text())
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(u, again); d != "" {
				t.Error(d)
			}
			for statement := range strings.SplitSeq(tc.text, "; ") {
				if !slices.Contains(strings.Split(u.Text(), "; "), statement) {
					t.Errorf("%q is not in %q", statement, u.Text())
				}
			}
			if bad := u.UnknownCritical(0); len(bad) > 0 {
				t.Errorf("unknown: %v", bad)
			}
			if len(u.Words()) == 0 {
				t.Error("no words")
			}
		})
	}
}

func TestIEC62227_UnknownSurvivesAndIsReported(t *testing.T) {
	u, err := permission.Parse(encode(t, "PLAY; X.10.7F=cafe; RENDER; X.11.7E=; COPY=FREE; X.30.20=01; EXPORT=hls; X.40.02=01; LEND; X.20.70=05; CHARGE=FREE; X.02.60=07; X.15=00ff; X.15=00; X.50=aa; X.2F="))
	if err != nil {
		t.Fatal(err)
	}
	all := []string{"unit 0x15", "unit 0x15", "unit 0x2f"}
	for p, own := range map[permission.Permission][]string{
		permission.Play: {"unit 0x10 item 0x7f"}, permission.Render: {"unit 0x11 item 0x7e"}, permission.Copy: {"unit 0x30 item 0x20"}, permission.Move: {"unit 0x30 item 0x20"},
		permission.Lend: {"unit 0x20 item 0x70"}, permission.Export: {"unit 0x40 item 0x02"},
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
		"X.10=00", "X.ZZ=00", "X.10.7F=00", "PLAY; X.10.7F=zz", "PLAY; X.10.ZZ=00", "X.100=00", "PLAY; INTERVAL=300000000d", "EXPORT=Clearkey", strings.Repeat(" ", 5000),
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
		"RENDER; PLAY": "PLAY; RENDER", "CHARGE=77": "CHARGE=77", "CHARGE=2": "CHARGE=RENTAL", "CONTENT=0x00ff": "CONTENT=0x00ff", "ISSUER=0x41": "ISSUER=A", "ISSUER=a;": "ISSUER=a",
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
