package keystoretest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/needs"
)

// TPM is a software TPM 2.0 (swtpm) behind a real socket, in a process of its
// own. Its non-volatile memory outlives Stop.
type TPM struct {
	Path string // of its socket

	t    *testing.T
	dir  string
	cmd  *exec.Cmd
	conn net.Conn
	said bytes.Buffer
}

// patience is how long a program of a test may take to start.
const patience = 10 * time.Second

// NewTPM starts a new TPM, which the end of the test stops.
func NewTPM(t *testing.T) *TPM {
	t.Helper()
	needs.Tool(t, "swtpm")
	dir, err := os.MkdirTemp("", "swtpm-") //nolint:usetesting // a socket's path has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	tpm := &TPM{Path: filepath.Join(dir, "tpm"), t: t, dir: dir}
	t.Cleanup(func() {
		tpm.Stop()
		_ = os.RemoveAll(dir)
	})
	tpm.Start()
	return tpm
}

// Start gives a stopped TPM its power back.
func (p *TPM) Start() {
	p.t.Helper()
	for _, name := range []string{"tpm", "ctrl"} {
		_ = os.Remove(filepath.Join(p.dir, name))
	}
	p.cmd = exec.CommandContext(context.Background(), "swtpm", "socket", "--tpm2", "--tpmstate", "dir="+p.dir,
		"--server", "type=unixio,path="+p.Path, "--ctrl", "type=unixio,path="+filepath.Join(p.dir, "ctrl"), "--flags", "not-need-init,startup-clear")
	p.cmd.Stderr = &p.said
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	_ = p.dial("ctrl").Close() // it is there
}

// dial waits until a socket answers.
func (p *TPM) dial(name string) net.Conn {
	p.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		conn, err := new(net.Dialer).DialContext(context.Background(), "unix", filepath.Join(p.dir, name))
		if err == nil {
			return conn
		}
		if time.Now().After(end) {
			p.t.Fatalf("swtpm does not answer: %v %s", err, p.said.String())
		}
	}
}

// Stop cuts the TPM's power.
func (p *TPM) Stop() {
	p.hangUp()
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	p.cmd = nil
}

// Dial connects to the TPM, which serves one connection at a time: the one
// before is closed.
func (p *TPM) Dial() net.Conn {
	p.t.Helper()
	p.hangUp()
	p.conn = p.dial("tpm")
	return p.conn
}

func (p *TPM) hangUp() {
	if p.conn != nil {
		_ = p.conn.Close()
		p.conn = nil
	}
}

// ptmInit is the control command that resets a TPM, as a machine's reset line
// does. Source: swtpm, tpm_ioctl.h.
const ptmInit = 2

// Reset resets the TPM and starts it up, as a machine does that comes back from
// hibernation; its connections stay.
func (p *TPM) Reset() {
	p.t.Helper()
	ctrl := p.dial("ctrl")
	defer ctrl.Close()
	msg := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, ptmInit), 0)
	res := make([]byte, 4)
	_, err := ctrl.Write(msg)
	if err == nil {
		_, err = ctrl.Read(res)
	}
	if err == nil && binary.BigEndian.Uint32(res) != 0 {
		err = errors.New("refused")
	}
	if err != nil {
		p.t.Fatalf("reset the TPM: %v", err)
	}
	p.startup()
}

// startup is TPM2_Startup(CLEAR), which a machine's firmware says.
func (p *TPM) startup() {
	p.t.Helper()
	if p.conn == nil {
		p.Dial()
	}
	cmd := []byte{0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 0}
	rsp := make([]byte, 10)
	if _, err := p.conn.Write(cmd); err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.conn.Read(rsp); err != nil {
		p.t.Fatal(err)
	}
	if rc := binary.BigEndian.Uint32(rsp[6:]); rc != 0 && rc != 0x100 { // 0x100: started already
		p.t.Fatalf("TPM2_Startup: %#x", rc)
	}
}
