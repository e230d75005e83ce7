package conform_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/lares-drm/lares/security/trem/conform"
	"github.com/lares-drm/lares/security/trem/module"
	"github.com/lares-drm/lares/security/trem/tremtest"
)

// inProcess starts our module in this process, anew for each stream.
func inProcess(t *testing.T, pipe func() (host, inside io.ReadWriteCloser, err error)) func(context.Context) (io.ReadWriteCloser, error) {
	t.Helper()
	dir, ended := t.TempDir(), make(chan error, 1)
	ended <- nil
	t.Cleanup(func() { <-ended })
	return func(context.Context) (io.ReadWriteCloser, error) {
		<-ended
		host, inside, err := pipe()
		if err != nil {
			return nil, err
		}
		go func() {
			err := module.Run(module.Config{Dir: dir, Conn: inside, Clock: module.System, BuildMS: module.BuildTime()})
			ended <- errors.Join(err, inside.Close())
		}()
		return host, nil
	}
}

func TestTREM_Conformance(t *testing.T) {
	t.Run("socket", func(t *testing.T) {
		tremtest.Run(t, inProcess(t, func() (io.ReadWriteCloser, io.ReadWriteCloser, error) {
			fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
			if err != nil {
				return nil, nil, err
			}
			ours := os.NewFile(uintptr(fds[0]), "host")
			conn, err := net.FileConn(ours)
			return conn, os.NewFile(uintptr(fds[1]), "module"), errors.Join(err, ours.Close())
		}))
	})
	t.Run("pipe", func(t *testing.T) {
		tremtest.Run(t, inProcess(t, func() (io.ReadWriteCloser, io.ReadWriteCloser, error) {
			host, inside := net.Pipe()
			return host, inside, nil
		}))
	})
}

// TestTREM_Vectors_AreWhatIsJudged: the malformed headers of the vectors are
// those that the judge gives.
func TestTREM_Vectors_AreWhatIsJudged(t *testing.T) {
	data, err := os.ReadFile("../testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Malformed struct {
			Messages []struct{ Name, Message, Why string }
		}
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	judged := map[string]bool{}
	for _, list := range []map[string]string{conform.Malformed(), conform.Bodies(), conform.Unknown()} {
		for _, header := range list {
			judged[fmt.Sprintf("%08x00000000%s", len(header)/2, header)] = true
		}
	}
	for _, m := range v.Malformed.Messages {
		if !judged[m.Message] || m.Why == "" {
			t.Errorf("%s (%s) is not judged", m.Name, m.Message)
		}
		delete(judged, m.Message)
	}
	for m := range judged {
		t.Errorf("%s has no vector", m)
	}
}
