package trembench

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/keystore"
	"github.com/lares-drm/lares/security/keystore/soft"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/internal/core"
	"github.com/lares-drm/lares/security/trem/internal/vault"
)

// module is one module of a house. It does its commands in the goroutine of
// whoever gives them, so that what it uses can be told from what its host uses.
type module struct {
	*trem.Client
	id     ident.Device
	core   *core.Core
	disk   *disk
	anchor *register // nil where the house has none
	host   *House
	used   time.Duration // CPU time of its commands
	in     bytes.Buffer  // the stream from its host, up to one message
	out    bytes.Buffer  // the stream to its host
	closed bool
}

// newModule makes a module in a folder, with its keys beside its vault.
func newModule(h *House, dir string) (*module, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	own, err := soft.OpenOrCreate(dir)
	if err != nil {
		return nil, err
	}
	fs, err := vault.OpenDir(filepath.Join(dir, "vault"))
	if err != nil {
		return nil, err
	}
	m := &module{disk: &disk{FS: fs, off: h.Off}, host: h}
	keys := keystore.Keystore(own)
	if h.anchors {
		m.anchor = new(register)
		keys = anchored{own, m.anchor}
	}
	m.Client = trem.NewClient(m)
	m.core, err = core.Open(core.Config{Dir: dir, FS: m.disk, Keystore: keys, BuildMS: h.begin.UnixMilli()}, h.reading())
	return m, err
}

// enroll certifies a module and brings it up to date.
func (m *module) enroll(ctx context.Context, d *domain, role pki.Role) error {
	req, err := m.SigningRequest(ctx)
	if err != nil {
		return err
	}
	e, err := d.enroll(role, req)
	if err != nil {
		return err
	}
	if err := m.Enroll(ctx, e); err != nil {
		return err
	}
	nonce, err := m.Nonce(ctx)
	if err != nil {
		return err
	}
	l, err := d.learned(nonce)
	if err != nil {
		return err
	}
	if err := m.Learn(ctx, l); err != nil {
		return err
	}
	s, err := m.Status(ctx)
	m.id = s.Device
	return err
}

// Write takes what a host sends, and does the command when it is whole.
func (m *module) Write(p []byte) (int, error) {
	m.in.Write(p)
	msg, err := trem.ReadMessage(bytes.NewReader(m.in.Bytes()))
	if err != nil {
		return len(p), nil //nolint:nilerr // it is not whole yet
	}
	m.in.Reset()
	before, err := m.host.CPU()
	if err != nil {
		return 0, err
	}
	reply, err := m.core.Do(msg, m.host.reading())
	if err := errors.Join(err, m.core.Failed()); err != nil {
		return 0, err
	}
	after, err := m.host.CPU()
	if err != nil {
		return 0, err
	}
	m.used += after - before
	return len(p), trem.WriteMessage(&m.out, reply)
}

// Read gives a host its reply.
func (m *module) Read(p []byte) (int, error) { return m.out.Read(p) }

// Close ends the module.
func (m *module) Close() error {
	if m.closed {
		return nil
	}
	m.closed = true
	return m.core.Close()
}
