//go:build unix

package vault

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/lares-drm/lares/security/keystore/soft"
)

// childDir makes the test binary the process that is killed.
const childDir = "LARES_VAULT_CHILD"

func TestMain(m *testing.M) {
	var err error
	if dir := os.Getenv(childDir); dir != "" {
		err = child(dir)
	} else if spec := os.Getenv(stepEnv); spec != "" {
		err = stepChild(spec)
	} else {
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func number(r Record) (int, error) { return strconv.Atoi(string(r.Body)) }

// child counts on from what it finds, and says each number when it is durable.
// Every 37th it compacts to that number alone.
func child(dir string) error {
	k, err := soft.OpenOrCreate(filepath.Join(dir, "keys"))
	if err != nil {
		return err
	}
	last := 0
	v, err := Open(Config{Dir: filepath.Join(dir, "vault"), Keystore: k, Device: device}, func(r Record) (err error) {
		last, err = number(r)
		return err
	})
	if err != nil {
		return err
	}
	for n := last + 1; ; n++ {
		r := Record{Kind: 1, Body: strconv.AppendInt(nil, int64(n), 10)}
		if n%37 == 0 {
			err = v.Compact([]Record{r})
		} else {
			err = v.Commit(true, r)
		}
		if err != nil {
			return err
		}
		fmt.Println(n)
	}
}

// TestVault_5_Kill9 kills a writer again and again: what it said it wrote is there.
func TestVault_5_Kill9(t *testing.T) {
	dir := t.TempDir()
	acked := 0
	for round := range 12 {
		cmd := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // this very binary
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		kill := rand.IntN(60)
		for n := 0; lines.Scan(); n++ { // after the kill, what is still in the pipe
			if acked, err = strconv.Atoi(lines.Text()); err != nil {
				t.Fatal(err)
			}
			if n == kill {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != -1 {
			t.Fatalf("round %d: the writer was not killed: %v", round, err)
		}
		checkNumbers(t, dir, acked)
	}
}

func checkNumbers(t *testing.T, dir string, acked int) {
	t.Helper()
	k, err := soft.Open(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	last := 0
	v, err := Open(Config{Dir: filepath.Join(dir, "vault"), Keystore: k, Device: device}, func(r Record) error {
		n, err := number(r)
		if last != 0 && n != last+1 || last == 0 && n != 1 && n%37 != 0 {
			return fmt.Errorf("record %d after %d", n, last)
		}
		last = n
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	shut(t, v)
	if last != acked && last != acked+1 {
		t.Fatalf("the last record is %d, acknowledged were %d", last, acked)
	}
}
