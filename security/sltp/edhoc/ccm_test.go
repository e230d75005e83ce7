package edhoc

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestCCM_RFC3610(t *testing.T) {
	data, err := os.ReadFile("testdata/aes-ccm.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Fields(line)
		tag, err := strconv.Atoi(f[0])
		if err != nil {
			t.Fatal(err)
		}
		key, nonce, aad, plain, want := unhex(t, f[1]), unhex(t, f[2]), unhex(t, f[3]), unhex(t, f[4]), unhex(t, f[5])
		c := ccm{tag: tag}
		got, err := c.seal(key, nonce, aad, plain)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: seal = %x, %v", line, got, err)
		}
		back, err := c.open(key, nonce, aad, want)
		if err != nil || !bytes.Equal(back, plain) {
			t.Errorf("%s: open = %x, %v", line, back, err)
		}
		for i := range want {
			bad := slices.Clone(want)
			bad[i] ^= 0x80
			if _, err := c.open(key, nonce, aad, bad); !errors.Is(err, ErrRejected) {
				t.Errorf("%s: byte %d changed: %v", line, i, err)
			}
		}
		if _, err := c.open(key, nonce, append(aad, 0), want); !errors.Is(err, ErrRejected) {
			t.Errorf("%s: other aad: %v", line, err)
		}
		if _, err := c.open(key, nonce, aad, want[:tag-1]); !errors.Is(err, ErrRejected) {
			t.Errorf("%s: cut: %v", line, err)
		}
		n++
	}
	if n < 39 {
		t.Errorf("%d vectors", n)
	}
}

func TestCCM_Limits(t *testing.T) {
	c := ccm{tag: 16}
	key, nonce := make([]byte, 16), make([]byte, ccmNonce)
	if _, err := c.seal(key, nonce, nil, make([]byte, ccmMaxText)); err != nil {
		t.Errorf("longest text: %v", err)
	}
	for name, f := range map[string]func() error{
		"text":  func() error { _, err := c.seal(key, nonce, nil, make([]byte, ccmMaxText+1)); return err },
		"aad":   func() error { _, err := c.seal(key, nonce, make([]byte, ccmMaxAAD), nil); return err },
		"nonce": func() error { _, err := c.seal(key, nonce[1:], nil, nil); return err },
		"gcm":   func() error { _, err := gcm{}.seal(key, nonce, nil, nil); return err },
	} {
		if err := f(); !errors.Is(err, ErrTooLong) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
