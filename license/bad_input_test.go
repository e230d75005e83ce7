package license_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// raw makes a code of units: profile and version, then the bytes.
func raw(more ...byte) permission.Code { return append(permission.Code{1, 0, 1, 1}, more...) }

func codeOf(c permission.Code) func(i *license.Info) { return func(i *license.Info) { i.Code = c } }

// textError is what a text form is refused with.
func textError(text string) string {
	if _, err := permission.ParseText(text); err != nil {
		return err.Error()
	}
	return "accepted"
}

// A message names the field, whatever is wrong: an issuer is told what to
// change, and nothing is guessed.
func TestLicense_1_BadInputNamesTheField(t *testing.T) {
	long := make([]ident.Device, 33)
	for n := range long {
		long[n] = ident.Device{1, byte(n)}
	}
	for _, tc := range []struct {
		name  string
		edit  func(i *license.Info)
		names string
	}{
		{"zero duration in the code", codeOf(raw(0x10, 3, 3, 1, 0)), "PLAY: INTERVAL"},
		{"empty duration in the code", codeOf(raw(0x10, 2, 3, 0)), "PLAY: INTERVAL"},
		{"overflow in the code", codeOf(raw(0x10, 10, 3, 8, 255, 255, 255, 255, 255, 255, 255, 255)), "PLAY: INTERVAL"},
		{"negative duration", policy(func(p *license.Policy) { p.StorageDuration = -1 }), "storage_duration"},
		{"negative duration in a rule", policy(func(p *license.Policy) { p.Transfer = &license.TransferRule{Cooldown: -1} }), "transfer cooldown"},
		{"overflow", policy(func(p *license.Policy) { p.HardEnd = 1 << 53 }), "hard_end"},
		{"overflow in a rule", policy(func(p *license.Policy) { p.Renew = &license.RenewRule{Recovery: 1 << 53} }), "renew recovery"},
		{"overflow of the issue", func(i *license.Info) { i.IssuedAt = 1 << 53 }, "issued at"},
		{"unknown critical condition", policy(func(p *license.Policy) { p.Other = map[uint64]wire.RawMessage{99: {1}} }), "policy 99"},
		{"a unit twice", codeOf(raw(0x40, 0, 0x40, 0)), "DATA_EXPORT"},
		{"two counted units", func(i *license.Info) {
			i.Code, i.Policy.Duration = code(t, "PLAY; PLAY_COUNT=1; PLAY; PART=01; PLAY_COUNT=1"), hour
		}, "PLAY: two units with PLAY_COUNT, ACCUMULATED or INTERVAL"},
		{"a part twice", codeOf(code(t, "PLAY; PART=01; PLAY; PART=01")), "PART 01"},
		{"a length that is not the shortest", codeOf(raw(0x10, 0x81, 0)), "PLAY"},
		{"units out of order", codeOf(raw(0x10, 0, 0x02, 0)), "CLASSIFICATION"},
		{"trailing bytes in the code", codeOf(raw(0x10, 0, 0x10)), "PLAY"},
		{"a code without a version", codeOf(permission.Code{1}), "VERSION"},
		{"oversize code", codeOf(append(raw(0x10, 0), make([]byte, permission.MaxCode)...)), "code"},
		{"oversize policy", policy(func(p *license.Policy) {
			p.Other = map[uint64]wire.RawMessage{98: append([]byte{0x59, 0x0f, 0xff}, make([]byte, 0xfff)...)}
		}), "policy"},
		{"oversize list", policy(func(p *license.Policy) { p.Lend = &license.LendRule{Dests: license.DestList, List: long} }), "lend dests"},
		{"too many keys", func(i *license.Info) { i.Keys = make([]license.KeyRef, 33) }, "33 key references"},
		{"oversize URL", func(i *license.Info) { i.StatusURL = strings.Repeat("x", 257) }, "status URL"},
		{"a country permitted and denied", func(i *license.Info) {
			i.Code, i.Policy.Region = code(t, "PLAY; TERRITORY=CH"), &license.RegionRule{Deny: []string{"CH"}}
		}, "region deny: CH"},
		{"an area permitted and denied", policy(func(p *license.Policy) { p.Region = &license.RegionRule{Areas: []string{"150"}, Deny: []string{"150"}} }), "region: 150"},
		{"no country", policy(func(p *license.Policy) { p.Region = &license.RegionRule{Areas: []string{"999"}} }), "region areas"},
		{"another content", codeOf(code(t, "PLAY; CONTENT=film-2")), "CONTENT"},
		{"another issuer", codeOf(code(t, "PLAY; ISSUER=other.example")), "ISSUER"},
		{"another receiver", codeOf(code(t, "PLAY; RECEIVER=domain:d0000000000000000000000000000009")), "RECEIVER"},
		{"a receiver of another kind", codeOf(code(t, "PLAY; RECEIVER=device:d0000000000000000000000000000001")), "RECEIVER"},
	} {
		_, err := license.Sign(fixedKey(t, 7), []byte("certificate"), newInfo(t, "PLAY", tc.edit))
		if err == nil || !strings.Contains(err.Error(), tc.names) {
			t.Errorf("%s: got %v, want an error that names %q", tc.name, err, tc.names)
		}
	}
	for text, names := range map[string]string{
		"PLAY; INTERVAL=0h": "INTERVAL", "PLAY; INTERVAL=-1h": "INTERVAL", "PLAY; PLAY_COUNT=99999999999": "PLAY_COUNT", "PLAY; INTERVAL=9999999999999d": "INTERVAL",
		"PLAY; INTERVAL=1h; INTERVAL=2h": "INTERVAL", "PLAY; COPY_COUNT=2": "COPY_COUNT", "PLAY; START_TIME=2026-02-01T00:00:00Z; END_TIME=2026-01-01T00:00:00Z": "END_TIME", "PLAY; SOON=1": "SOON",
	} {
		if got := textError(text); !strings.Contains(got, names) {
			t.Errorf("%s: %s, want an error that names %s", text, got, names)
		}
	}
}

// A TREM takes a license as it is written, or not at all.
func TestLicense_1_BadBytesAreRefused(t *testing.T) {
	good := newLicense(t, "PLAY").Bytes()
	zero := bytes.Replace(must(t)(wire.Marshal(newInfo(t, "PLAY", policy(func(p *license.Policy) { p.Duration = 1 })))), []byte{0x08, 0xa1, 0x01, 0x01}, []byte{0x08, 0xa1, 0x01, 0x00}, 1)
	signed := func(payload []byte) []byte {
		return must(t)(wire.NewSign1(fixedKey(t, 7), []byte("certificate"), license.Object, payload))
	}
	info := must(t)(wire.Marshal(newInfo(t, "PLAY")))
	for name, data := range map[string][]byte{
		"nothing": {}, "trailing byte": append(bytes.Clone(good), 0), "cut off": good[:len(good)-1], "oversize": make([]byte, license.MaxSize+1), "zero duration": signed(zero),
		"trailing byte in the information": signed(append(bytes.Clone(info), 0)), "a number that is not the shortest": signed(bytes.Replace(info, []byte{0x0f, 0x01}, []byte{0x0f, 0x18, 0x01}, 1)),
		"a field twice": signed(append(append([]byte{info[0] + 1}, info[1:]...), 0x0f, 0x01)), "a field that nobody knows": signed(append(append([]byte{info[0] + 1}, info[1:]...), 0x11, 0x01)),
	} {
		if _, err := license.Parse(data); err == nil {
			t.Errorf("%s: parsed", name)
		}
	}
}
