package permission_test

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// Bytes that are no code are refused with the keywords of unit and item.
func TestCode_MalformedNamesTheField(t *testing.T) {
	units := bytes.Repeat([]byte{0x50, 0x00}, 32)
	items := bytes.Repeat([]byte{0x7f, 0x00}, 65)
	for _, tc := range []struct {
		code []byte
		want string
	}{
		{[]byte{1}, "VERSION: missing"},
		{[]byte{1, 0, 1, 2}, "VERSION: 02 is not version 1"},
		{[]byte{1, 0, 1, 1, 0, 1, 1}, "VERSION: repeated"},
		{[]byte{1, 0x10, 0}, "PLAY: does not begin the code: VERSION does"},
		{[]byte{1, 0, 1, 1, 0x30, 0, 0x30, 0}, "MANAGEMENT: repeated"},
		{[]byte{1, 0, 1, 1, 0x30, 0, 0x12, 0}, "EXECUTE: out of order"},
		{[]byte{1, 0, 1, 1, 0x40, 5, 1}, "DATA_EXPORT: cut off"},
		{[]byte{1, 0, 1, 1, 0x10, 0, 0x11}, "RENDER: cut off"},
		{[]byte{1, 0, 1, 1, 0x15, 0x81, 1, 0}, "unit 0x15: length not in its shortest form"},
		{[]byte{1, 0, 1, 1, 0x15, 0x83, 0, 0, 1, 0}, "unit 0x15: length of an unknown form"},
		{append([]byte{1, 0, 1, 1}, units...), "unit 0x50: more than 32 units"},
		{append([]byte{1, 0, 1, 1, 0x10, 0x81, 130}, items...), "PLAY: item 0x7f: more than 64 items"},
		{[]byte{1, 0, 1, 1, 0x10, 3, 3, 1, 0}, "PLAY: INTERVAL: not a shortest number above 0"},
		{[]byte{1, 0, 1, 1, 0x11, 4, 3, 2, 0, 1}, "RENDER: INTERVAL: not a shortest number above 0"},
		{[]byte{1, 0, 1, 1, 0x10, 11, 3, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1}, "PLAY: INTERVAL: not a shortest number above 0"},
		{[]byte{1, 0, 1, 1, 0x10, 9, 7, 7, 0x20, 0, 0, 0, 0, 0, 0}, "PLAY: ACCUMULATED: 9007199254740992 is more than 9007199254740991"},
		{[]byte{1, 0, 1, 1, 0x10, 7, 4, 5, 1, 0, 0, 0, 0}, "PLAY: PLAY_COUNT: 4294967296 is more than 4294967295"},
		{[]byte{1, 0, 1, 1, 0x10, 6, 4, 1, 1, 4, 1, 1}, "PLAY: PLAY_COUNT: repeated"},
		{[]byte{1, 0, 1, 1, 0x10, 6, 4, 1, 1, 2, 1, 1}, "PLAY: END_TIME: out of order"},
		{[]byte{1, 0, 1, 1, 0x10, 6, 1, 1, 9, 2, 1, 9}, "PLAY: END_TIME: not after START_TIME"},
		{[]byte{1, 0, 1, 1, 0x10, 2, 8, 0}, "PLAY: PART: empty"},
		{[]byte{1, 0, 1, 1, 0x10, 3, 6, 1, 5}, "PLAY: OUTPUT_PROTECTION: 5 is more than 4"},
		{[]byte{1, 0, 1, 1, 0x10, 2, 0x7f, 9}, "PLAY: item 0x7f: cut off"},
		{[]byte{1, 0, 1, 1, 0x20, 3, 1, 1, 0}, "LEND: LEND_TIME: not a shortest number above 0"},
		{[]byte{1, 0, 1, 1, 0x30, 3, 1, 1, 2}, "MANAGEMENT: COPY_COUNT: stands with COPY=COUNTED, and only with it"},
		{[]byte{1, 0, 1, 1, 0x30, 3, 6, 1, 4}, "MANAGEMENT: TRANSCODE: 4 is more than 3"},
		{[]byte{1, 0, 1, 1, 0x30, 3, 7, 1, 3}, "MANAGEMENT: ENCRYPTION: 3 is more than 2"},
		{[]byte{1, 0, 1, 1, 0x30, 3, 8, 1, 3}, "MANAGEMENT: TIMELINE: 3 is more than 2"},
		{[]byte{1, 0, 1, 1, 0x30, 4, 3, 2, 1, 0}, "MANAGEMENT: MAX_GENERATION: 256 is more than 255"},
		{[]byte{1, 0, 1, 1, 0x40, 6, 1, 1, 'b', 1, 1, 'a'}, "DATA_EXPORT: EXPORT: a repeated or not sorted"},
		{[]byte{1, 0, 1, 1, 2, 6, 7, 4, 'F', 'R', 'D', 'E'}, "CLASSIFICATION: TERRITORY: DE repeated or not sorted"},
		{[]byte{1, 0, 1, 1, 1, 2, 2, 0}, "ACTOR: ISSUER: empty"},
		{[]byte{1, 0, 1, 1, 1, 3, 3, 1, 1}, "ACTOR: RECEIVER: not a kind and 16 bytes"},
	} {
		_, err := permission.Parse(tc.code)
		if want := "permission: malformed code: " + tc.want; err == nil || err.Error() != want || !errors.Is(err, permission.ErrMalformed) {
			t.Errorf("%x: got  %v\nwant %v", tc.code, err, want)
		}
	}
}

// Units that have no code are refused with the keywords of unit and item; none
// of their values is dropped silently.
func TestCode_InvalidNamesTheField(t *testing.T) {
	type units = permission.Units
	play := func(x permission.UsageUnit) units {
		x.Kind = permission.Playback
		return units{Usage: []permission.UsageUnit{x}}
	}
	manage := func(m permission.ManagementUnit) units { return units{Management: &m} }
	item := func(tag uint8) []permission.Item { return []permission.Item{{Tag: tag, Value: []byte{1}}} }
	for _, tc := range []struct {
		units units
		want  string
	}{
		{units{Version: 2}, "VERSION: 2 is not version 1"},
		{play(permission.UsageUnit{StartTime: -1}), "PLAY: START_TIME: -1 is negative"},
		{play(permission.UsageUnit{EndTime: math.MinInt64}), "PLAY: END_TIME: -9223372036854775808 is negative"},
		{play(permission.UsageUnit{Interval: -172800000}), "PLAY: INTERVAL: -172800000 is negative"},
		{play(permission.UsageUnit{Accumulated: 1 << 53}), "PLAY: ACCUMULATED: 9007199254740992 is more than 9007199254740991"},
		{play(permission.UsageUnit{StartTime: 5, EndTime: 5}), "PLAY: END_TIME: not after START_TIME"},
		{play(permission.UsageUnit{PlayCount: 1 << 32}), "PLAY: PLAY_COUNT: 4294967296 is more than 4294967295"},
		{play(permission.UsageUnit{MaxPixels: 1 << 32}), "PLAY: RESOLUTION: 4294967296 is more than 4294967295"},
		{play(permission.UsageUnit{Output: 5}), "PLAY: OUTPUT_PROTECTION: 5 is more than 4"},
		{play(permission.UsageUnit{Extra: item(4)}), "PLAY: PLAY_COUNT: stands among the unknown items"},
		{play(permission.UsageUnit{Extra: item(8)}), "PLAY: PART: stands among the unknown items"},
		{play(permission.UsageUnit{Extra: slices.Repeat(item(0x70), 65)}), "PLAY: item 0x70: more than 64 items"},
		{play(permission.UsageUnit{Part: make([]byte, 70000)}), "PLAY: the code is longer than 1024 bytes"},
		{units{Usage: []permission.UsageUnit{{Kind: 0x15}}}, "unit 0x15: not a usage unit"},
		{units{Usage: slices.Repeat([]permission.UsageUnit{{Kind: permission.Print}}, 32)}, "RENDER: more than 32 units"},
		{units{Extended: []permission.ExtendedUnit{{Kind: permission.TagLend, MaxDuration: -1}}}, "LEND: LEND_TIME: -1 is negative"},
		{units{Extended: []permission.ExtendedUnit{{Kind: permission.TagLend, MaxLoans: 1 << 32}}}, "LEND: LEND_COUNT: 4294967296 is more than 4294967295"},
		{units{Extended: []permission.ExtendedUnit{{Kind: 0x21}}}, "unit 0x21: not a unit of an extended use condition"},
		{manage(permission.ManagementUnit{Copy: 6}), "MANAGEMENT: COPY: 6 is more than 5"},
		{manage(permission.ManagementUnit{Copy: permission.CopyCounted}), "MANAGEMENT: COPY_COUNT: stands with COPY=COUNTED, and only with it"},
		{manage(permission.ManagementUnit{CopyCount: 1}), "MANAGEMENT: COPY_COUNT: stands with COPY=COUNTED, and only with it"},
		{manage(permission.ManagementUnit{MaxGeneration: 256}), "MANAGEMENT: MAX_GENERATION: 256 is more than 255"},
		{manage(permission.ManagementUnit{Move: 3}), "MANAGEMENT: MOVE: 3 is more than 2"},
		{manage(permission.ManagementUnit{Transfer: 1 << 32}), "MANAGEMENT: TRANSFER: 4294967296 is more than 4294967295"},
		{manage(permission.ManagementUnit{Transcode: 4}), "MANAGEMENT: TRANSCODE: 4 is more than 3"},
		{manage(permission.ManagementUnit{Encryption: 3}), "MANAGEMENT: ENCRYPTION: 3 is more than 2"},
		{manage(permission.ManagementUnit{Timeline: 3}), "MANAGEMENT: TIMELINE: 3 is more than 2"},
		{manage(permission.ManagementUnit{Extra: item(8)}), "MANAGEMENT: TIMELINE: stands among the unknown items"},
		{units{Export: &permission.ExportUnit{Systems: []string{"B"}}}, `DATA_EXPORT: EXPORT: "B" is not a system name`},
		{units{Export: &permission.ExportUnit{Systems: []string{"a", "a"}}}, "DATA_EXPORT: EXPORT: a repeated or not sorted"},
		{units{Export: &permission.ExportUnit{Extra: item(1)}}, "DATA_EXPORT: EXPORT: stands among the unknown items"},
		{units{Classification: &permission.ClassificationUnit{Sponsor: "a;b"}}, "CLASSIFICATION: SPONSOR: not plain text"},
		{units{Classification: &permission.ClassificationUnit{Territory: []string{"DEU"}}}, `CLASSIFICATION: TERRITORY: "DEU" is not a country code of two letters`},
		{units{Classification: &permission.ClassificationUnit{Extra: item(7)}}, "CLASSIFICATION: TERRITORY: stands among the unknown items"},
		{units{Actor: &permission.ActorUnit{Content: ident.Content(strings.Repeat("a", 65))}}, "ACTOR: CONTENT: longer than 64 bytes"},
		{units{Actor: &permission.ActorUnit{Issuer: ident.Issuer(strings.Repeat("a", 65))}}, "ACTOR: ISSUER: longer than 64 bytes"},
		{units{Actor: &permission.ActorUnit{Receiver: permission.Receiver{Kind: 4}}}, "ACTOR: RECEIVER: kind 4 is more than 3"},
		{units{Actor: &permission.ActorUnit{Receiver: permission.Receiver{ID: [16]byte{1}}}}, "ACTOR: RECEIVER: an ID without a kind"},
		{units{Actor: &permission.ActorUnit{Extra: item(3)}}, "ACTOR: RECEIVER: stands among the unknown items"},
		{units{Unknown: item(0x10)}, "PLAY: stands among the unknown units"},
		{units{Unknown: []permission.Item{{Tag: 0x50, Value: make([]byte, 70000)}}}, "unit 0x50: the code is longer than 1024 bytes"},
		{units{Unknown: slices.Repeat(item(0x50), 32)}, "unit 0x50: more than 32 units"},
	} {
		_, err := tc.units.Encode()
		if want := "permission: invalid unit: " + tc.want; err == nil || err.Error() != want || !errors.Is(err, permission.ErrInvalid) {
			t.Errorf("got  %v\nwant %v", err, want)
		}
	}
}

func TestText_ErrorsNameTheField(t *testing.T) {
	for text, want := range map[string]string{
		"PLAY; INTERVAL=0h":                        "statement 2 (INTERVAL=0h): not above 0",
		"PLAY; INTERVAL=-48h":                      "statement 2 (INTERVAL=-48h): not above 0",
		"PLAY; INTERVAL=300000000d":                "statement 2 (INTERVAL=300000000d): too large",
		"PLAY; INTERVAL=99999999999999999999ms":    "statement 2 (INTERVAL=99999999999999999999ms): too large",
		"PLAY; INTERVAL=-99999999999999999999h":    "statement 2 (INTERVAL=-99999999999999999999h): not above 0",
		"PLAY; INTERVAL=48":                        "statement 2 (INTERVAL=48): want a duration such as 48h, 30d, 90m, 10s or 250ms",
		"PLAY; INTERVAL=+48h":                      "statement 2 (INTERVAL=+48h): want a duration such as 48h, 30d, 90m, 10s or 250ms",
		"PLAY; END_TIME=@9007199254740992":         "statement 2 (END_TIME=@9007199254740992): too large",
		"PLAY; END_TIME=1969-01-01T00:00:00Z":      "statement 2 (END_TIME=1969-01-01T00:00:00Z): not above 0",
		"PLAY; PLAY_COUNT=0":                       "statement 2 (PLAY_COUNT=0): not above 0",
		"PLAY; PLAY_COUNT=4294967296":              "statement 2 (PLAY_COUNT=4294967296): too large",
		"PLAY; PLAY_COUNT=1; PLAY_COUNT=2":         "statement 3 (PLAY_COUNT=2): repeated",
		"COPY=FREE; MANAGEMENT; MANAGEMENT":        "statement 3 (MANAGEMENT): repeated",
		"PLAY; START_TIME=@7; END_TIME=@7":         "permission: invalid unit: PLAY: END_TIME: not after START_TIME",
		"MAX_GENERATION=256":                       "permission: invalid unit: MANAGEMENT: MAX_GENERATION: 256 is more than 255",
		"TERRITORY=DE,DE":                          "permission: invalid unit: CLASSIFICATION: TERRITORY: DE repeated or not sorted",
		"PLAY; PART=" + strings.Repeat("00", 1024): "permission: invalid unit: PLAY: the code is longer than 1024 bytes",
	} {
		_, err := permission.ParseText(text)
		if want := "permission: malformed text: " + want; err == nil || err.Error() != want || !errors.Is(err, permission.ErrText) {
			t.Errorf("got  %v\nwant %v", err, want)
		}
	}
}
