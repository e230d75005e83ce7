package module

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem/internal/core"
)

// The kernel's display interface, as far as it tells what is plugged in and how it
// is protected. Source: Linux UAPI, include/uapi/drm/drm.h and drm_mode.h.

// Numbers of the calls, 'd' with struct sizes in bytes.
const (
	getResources = 0xC0<<24 | 64<<16 | 'd'<<8 | 0xA0 // DRM_IOCTL_MODE_GETRESOURCES
	getEncoder   = 0xC0<<24 | 20<<16 | 'd'<<8 | 0xA6 // DRM_IOCTL_MODE_GETENCODER
	getConnector = 0xC0<<24 | 80<<16 | 'd'<<8 | 0xA7 // DRM_IOCTL_MODE_GETCONNECTOR
	getProperty  = 0xC0<<24 | 64<<16 | 'd'<<8 | 0xAA // DRM_IOCTL_MODE_GETPROPERTY
)

// cardRes is struct drm_mode_card_res.
type cardRes struct {
	fbs, crtcs, connectors, encoders     uint64 // addresses
	nFBs, nCRTCs, nConnectors, nEncoders uint32
	_, _, _, _                           uint32 // sizes in pixels
}

// connectorRes is struct drm_mode_get_connector.
type connectorRes struct {
	encoders, modes, props, values      uint64 // addresses
	nModes, nProps, nEncoders           uint32
	encoder, id, kind, kindID, attached uint32
	_, _, _, _                          uint32 // size in mm, subpixels, padding
}

// encoderRes is struct drm_mode_get_encoder.
type encoderRes struct{ id, kind, crtc, crtcs, clones uint32 }

// propertyRes is struct drm_mode_get_property.
type propertyRes struct {
	values, enums   uint64 // addresses
	id, flags       uint32
	name            [32]byte
	nValues, nEnums uint32
}

const (
	maxConnectors = 64 // of a card
	maxProps      = 64 // of a connector
	modeLen       = 68 // bytes: struct drm_mode_modeinfo
	plugged       = 1  // connector status: connected

	protectionOn = 2 // "Content Protection": enabled
	type1        = 1 // "HDCP Content Type": type 1
)

// card is an open display device.
type card struct {
	name string
	call func(request uint32, arg unsafe.Pointer) error
}

// ask makes a call of the kernel about one of its structs.
func ask[T any](c card, request uint32, about *T) error {
	return c.call(request, unsafe.Pointer(about)) //nolint:gosec // the system call takes a pointer
}

// openCards opens the machine's display devices, before the walls go up. A machine
// without, or one where this user may not, has none to read.
func openCards(dir string) (cards []card) {
	names, _ := filepath.Glob(filepath.Join(dir, "card[0-9]*")) // the pattern is well formed
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			continue
		}
		fd := f.Fd()
		cards = append(cards, card{name: filepath.Base(name), call: func(request uint32, arg unsafe.Pointer) error {
			defer runtime.KeepAlive(f)
			_, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, uintptr(request), uintptr(arg))
			if errno != 0 {
				return errno
			}
			return nil
		}})
	}
	return cards
}

// address is where something stands that the kernel writes to. Until it is
// unpinned it stays there.
func address[T any](pins *runtime.Pinner, x *T) uint64 {
	pins.Pin(x)
	return uint64(uintptr(unsafe.Pointer(x))) //nolint:gosec // the kernel takes an address
}

// connectors reads what all cards have. One that cannot be read makes the whole
// unknown: what it shows might be the picture.
func connectors(cards []card) ([]core.Connector, error) {
	var out []core.Connector
	for _, c := range cards {
		list, err := c.connectors()
		if err != nil {
			return nil, fmt.Errorf("read the outputs of %s: %w", c.name, err)
		}
		out = append(out, list...)
	}
	return out, nil
}

func (c card) connectors() (out []core.Connector, err error) {
	var res cardRes
	if err := ask(c, getResources, &res); err != nil {
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTTY) {
			return nil, nil // a card that only computes
		}
		return nil, err
	}
	if res.nConnectors == 0 {
		return nil, nil
	}
	n := min(res.nConnectors, maxConnectors)
	ids := make([]uint32, n)
	var pins runtime.Pinner
	defer pins.Unpin()
	res = cardRes{connectors: address(&pins, &ids[0]), nConnectors: n}
	if err := ask(c, getResources, &res); err != nil {
		return nil, err
	}
	for _, id := range ids[:min(res.nConnectors, n)] {
		x, err := c.connector(id)
		if errors.Is(err, unix.ENOENT) {
			continue // it was unplugged with its hub
		}
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

// connector reads one. The kernel is given room for a mode, so that it tells what
// it knows: with none it would ask the display anew, which takes long.
func (c card) connector(id uint32) (core.Connector, error) {
	var mode [modeLen]byte
	var props [maxProps]uint32
	var values [maxProps]uint64
	var pins runtime.Pinner
	defer pins.Unpin()
	res := connectorRes{id: id, modes: address(&pins, &mode), nModes: 1, props: address(&pins, &props), values: address(&pins, &values), nProps: maxProps}
	if err := ask(c, getConnector, &res); err != nil {
		return core.Connector{}, err
	}
	name, class := kindOf(res.kind)
	out := core.Connector{Name: fmt.Sprintf("%s-%s-%d", c.name, name, res.kindID), Class: class}
	if res.attached != plugged || res.encoder == 0 {
		return out, nil
	}
	enc := encoderRes{id: res.encoder}
	if err := ask(c, getEncoder, &enc); err != nil {
		return out, err
	}
	if out.Lit = enc.crtc != 0; !out.Lit {
		return out, nil
	}
	var on, kind uint64
	for i := range props[:min(int(res.nProps), maxProps)] {
		p := propertyRes{id: props[i]}
		if err := ask(c, getProperty, &p); err != nil {
			return out, err
		}
		switch strings.TrimRight(string(p.name[:]), "\x00") {
		case "Content Protection":
			on = values[i]
		case "HDCP Content Type":
			kind = values[i]
		}
	}
	out.Protection = protectionOf(on, kind)
	return out, nil
}

// protectionOf: of type 0 the kernel does not say by which version it is on, so it
// counts as the first.
func protectionOf(on, kind uint64) permission.Protection {
	switch {
	case on != protectionOn:
		return 0
	case kind == type1:
		return permission.ProtectHDCPT1
	}
	return permission.ProtectHDCP1
}

// kindOf names a connector type, DRM_MODE_CONNECTOR_*. Of a virtual output or one
// that writes to memory nothing is known.
func kindOf(kind uint32) (name string, class license.OutputClass) {
	kinds := []struct {
		name  string
		class license.OutputClass
	}{
		{"Unknown", "UNKNOWN"},
		{"VGA", license.OutputAnalog},
		{"DVI-I", license.OutputDigital},
		{"DVI-D", license.OutputDigital},
		{"DVI-A", license.OutputAnalog},
		{"Composite", license.OutputAnalog},
		{"SVIDEO", license.OutputAnalog},
		{"LVDS", license.OutputInternal},
		{"Component", license.OutputAnalog},
		{"DIN", license.OutputAnalog},
		{"DP", license.OutputDigital},
		{"HDMI-A", license.OutputDigital},
		{"HDMI-B", license.OutputDigital},
		{"TV", license.OutputAnalog},
		{"eDP", license.OutputInternal},
		{"Virtual", "VIRTUAL"},
		{"DSI", license.OutputInternal},
		{"DPI", license.OutputInternal},
		{"Writeback", "WRITEBACK"},
		{"SPI", license.OutputInternal},
		{"USB", "USB"},
	}
	if i := int(kind); i < len(kinds) {
		return kinds[i].name, kinds[i].class
	}
	return kinds[0].name, kinds[0].class
}

// source reads the cards that are there; nil without.
func source(cards []card) func() ([]core.Connector, error) {
	if len(cards) == 0 {
		return nil
	}
	cards = slices.Clone(cards)
	return func() ([]core.Connector, error) { return connectors(cards) }
}
