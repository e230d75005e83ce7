package module

import (
	"errors"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem/internal/core"
)

// plug is a connector of a scripted kernel.
type plug struct {
	kind, number uint32
	attached     uint32 // 1 connected, 2 not, 3 unknown
	crtc         uint32 // 0 = dark
	props        map[string]uint64
}

// kernel answers the calls of the display interface as the documented one does.
type kernel struct {
	t     *testing.T
	plugs []plug
	fail  map[uint32]error // by call
	names []string         // of properties, by number from 1
}

// at is what stands at an address that was given to the kernel.
func at[T any](addr uint64) *T { return (*T)(*(*unsafe.Pointer)(unsafe.Pointer(&addr))) }

func (k *kernel) call(request uint32, arg unsafe.Pointer) error {
	if err := k.fail[request]; err != nil {
		return err
	}
	switch request {
	case getResources:
		r := (*cardRes)(arg)
		for i := range min(int(r.nConnectors), len(k.plugs)) {
			*at[uint32](r.connectors + uint64(4*i)) = uint32(10 + i)
		}
		r.nConnectors = uint32(len(k.plugs))
	case getConnector:
		r := (*connectorRes)(arg)
		if r.nModes == 0 {
			k.t.Error("the display is asked anew")
		}
		i := int(r.id) - 10
		if i >= len(k.plugs) {
			return unix.ENOENT
		}
		p := k.plugs[i]
		r.kind, r.kindID, r.attached, r.encoder, r.nModes = p.kind, p.number, p.attached, uint32(30+i), 40
		n := 0
		for name, value := range p.props {
			if !slices.Contains(k.names, name) {
				k.names = append(k.names, name)
			}
			*at[uint32](r.props + uint64(4*n)) = uint32(slices.Index(k.names, name) + 1)
			*at[uint64](r.values + uint64(8*n)) = value
			n++
		}
		r.nProps = uint32(n)
	case getEncoder:
		r := (*encoderRes)(arg)
		r.crtc = k.plugs[r.id-30].crtc
	case getProperty:
		r := (*propertyRes)(arg)
		copy(r.name[:], k.names[r.id-1])
	default:
		k.t.Errorf("unknown call %#x", request)
	}
	return nil
}

func TestOutputs_ReadFromTheKernel(t *testing.T) {
	k := &kernel{t: t, plugs: []plug{
		{kind: 14, number: 1, attached: 1, crtc: 5},
		{kind: 11, number: 1, attached: 1, crtc: 6, props: map[string]uint64{"DPMS": 0, "Content Protection": 2, "HDCP Content Type": 1}},
		{kind: 11, number: 2, attached: 1, crtc: 6, props: map[string]uint64{"Content Protection": 2, "HDCP Content Type": 0}},
		{kind: 10, number: 1, attached: 1, crtc: 6, props: map[string]uint64{"Content Protection": 1}}, // wanted, not on
		{kind: 10, number: 2, attached: 1, crtc: 0, props: map[string]uint64{"Content Protection": 2}}, // dark
		{kind: 1, number: 1, attached: 2},
		{kind: 18, number: 1, attached: 1, crtc: 7},
		{kind: 99, number: 1, attached: 1, crtc: 7},
	}}
	got, err := source([]card{{name: "card0", call: k.call}})()
	want := []core.Connector{
		{Name: "card0-eDP-1", Class: license.OutputInternal, Lit: true},
		{Name: "card0-HDMI-A-1", Class: license.OutputDigital, Protection: permission.ProtectHDCPT1, Lit: true},
		{Name: "card0-HDMI-A-2", Class: license.OutputDigital, Protection: permission.ProtectHDCP1, Lit: true},
		{Name: "card0-DP-1", Class: license.OutputDigital, Lit: true},
		{Name: "card0-DP-2", Class: license.OutputDigital},
		{Name: "card0-VGA-1", Class: license.OutputAnalog},
		{Name: "card0-Writeback-1", Class: "WRITEBACK", Lit: true},
		{Name: "card0-Unknown-1", Class: "UNKNOWN", Lit: true},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestOutputs_WhatCannotBeRead(t *testing.T) {
	one := []plug{{kind: 11, number: 1, attached: 1, crtc: 1, props: map[string]uint64{"Content Protection": 2}}}
	for _, call := range []uint32{getResources, getConnector, getEncoder, getProperty} {
		k := &kernel{t: t, plugs: one, fail: map[uint32]error{call: unix.EACCES}}
		if _, err := source([]card{{name: "card0", call: k.call}})(); !errors.Is(err, unix.EACCES) {
			t.Errorf("call %#x fails: %v", call, err)
		}
	}
	computes := &kernel{t: t, fail: map[uint32]error{getResources: unix.EOPNOTSUPP}}
	unplugged := &kernel{t: t, plugs: one, fail: map[uint32]error{getConnector: unix.ENOENT}}
	none := &kernel{t: t}
	got, err := source([]card{{name: "card0", call: computes.call}, {name: "card1", call: unplugged.call}, {name: "card2", call: none.call}})()
	if err != nil || len(got) != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	if source(nil) != nil {
		t.Error("outputs of no card")
	}
	many := &kernel{t: t, plugs: make([]plug, maxConnectors+9)}
	if got, err := source([]card{{call: many.call}})(); err != nil || len(got) != maxConnectors {
		t.Errorf("%d connectors, %v", len(got), err)
	}
	if cards := openCards(t.TempDir()); cards != nil {
		t.Errorf("%d cards in an empty folder", len(cards))
	}
}

func TestOutputs_SizesOfTheKernelsStructs(t *testing.T) {
	for name, tc := range map[string][2]uintptr{
		"drm_mode_card_res": {unsafe.Sizeof(cardRes{}), 64}, "drm_mode_get_connector": {unsafe.Sizeof(connectorRes{}), 80},
		"drm_mode_get_encoder": {unsafe.Sizeof(encoderRes{}), 20}, "drm_mode_get_property": {unsafe.Sizeof(propertyRes{}), 64},
	} {
		if tc[0] != tc[1] {
			t.Errorf("%s has %d bytes, want %d", name, tc[0], tc[1])
		}
	}
}
