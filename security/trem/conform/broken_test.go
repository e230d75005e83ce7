package conform_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/conform"
)

// broken changes what our module says, as a module with a mistake would say it.
type broken func(cmd trem.Command, request, reply trem.Message) trem.Message

// behind puts a mistake between the judge and our module.
func behind(t *testing.T, b broken) func(context.Context) (io.ReadWriteCloser, error) {
	t.Helper()
	dial := inProcess(t, func() (io.ReadWriteCloser, io.ReadWriteCloser, error) {
		host, inside := net.Pipe()
		return host, inside, nil
	})
	return func(ctx context.Context) (io.ReadWriteCloser, error) {
		module, err := dial(ctx)
		if err != nil {
			return nil, err
		}
		host, middle := net.Pipe()
		go func() {
			defer middle.Close() //nolint:errcheck // the stream ends
			defer module.Close() //nolint:errcheck // and so does the module
			for {
				in, err := trem.ReadMessage(middle)
				if err != nil {
					return
				}
				cmd, _, _ := trem.ParseRequest(in.Header) //nolint:errcheck // a malformed one is no command
				request := trem.Message{Header: in.Header, Payload: bytes.Clone(in.Payload)}
				err = trem.WriteMessage(module, in)
				var out trem.Message
				if err == nil {
					out, err = trem.ReadMessage(module)
				}
				if err != nil || trem.WriteMessage(middle, b(cmd, request, out)) != nil {
					return
				}
			}
		}()
		return host, nil
	}
}

func reply(t *testing.T, v any, err error) []byte {
	t.Helper()
	header, fail := trem.NewReply(v, err)
	if fail != nil {
		t.Fatal(fail)
	}
	return header
}

// isError reports whether a reply is one, of which kind.
func isError(m trem.Message) (trem.Code, bool) {
	e, ok := errors.AsType[*trem.Error](trem.ParseReply(m.Header, new(trem.None)))
	if !ok {
		return 0, false
	}
	return e.Code, true
}

// TestTREM_Conformance_MistakesAreFound gives the judge modules with one mistake
// each: the check that is for it fails.
func TestTREM_Conformance_MistakesAreFound(t *testing.T) {
	var nonce, session []byte
	for name, tc := range map[string]struct {
		check string // a part of its name
		b     broken
	}{
		"every error is INTERNAL": {"malformed header", func(_ trem.Command, _, m trem.Message) trem.Message {
			if _, ok := isError(m); ok {
				m.Header = reply(t, nil, &trem.Error{Code: trem.CodeInternal, Text: "no"})
			}
			return m
		}},
		"unknown commands are done": {"unknown commands", func(cmd trem.Command, _, m trem.Message) trem.Message {
			if cmd == 200 {
				m.Header = reply(t, trem.None{}, nil)
			}
			return m
		}},
		"a nonce comes twice": {"NONCE", func(cmd trem.Command, _, m trem.Message) trem.Message {
			if cmd == trem.CmdNonce && nonce == nil {
				nonce = m.Header
			}
			if cmd == trem.CmdNonce {
				m.Header = nonce
			}
			return m
		}},
		"any enrollment is taken": {"not for its keys", func(cmd trem.Command, _, m trem.Message) trem.Message {
			if cmd == trem.CmdEnroll {
				m.Header = reply(t, trem.None{}, nil)
			}
			return m
		}},
		"what is refused comes back": {"no plaintext of what is damaged", func(cmd trem.Command, in, m trem.Message) trem.Message {
			if _, ok := isError(m); ok && cmd == trem.CmdDecrypt {
				m.Payload = in.Payload
			}
			return m
		}},
		"segments stay as they are": {"gives the plaintext", func(cmd trem.Command, in, m trem.Message) trem.Message {
			if cmd == trem.CmdDecrypt && len(m.Payload) > 0 {
				m.Payload = in.Payload
			}
			return m
		}},
		"a handle comes again": {"after END", func(cmd trem.Command, _, m trem.Message) trem.Message {
			if err := trem.ParseReply(m.Header, new(trem.Session)); err != nil || cmd != trem.CmdBegin {
				return m
			}
			if session == nil {
				session = m.Header
			}
			m.Header = session
			return m
		}},
		"a refusal is an error": {"refused, as a value", func(_ trem.Command, _, m trem.Message) trem.Message {
			if r, ok := errors.AsType[*trem.RefusalError](trem.ParseReply(m.Header, new(trem.None))); ok {
				m.Header = reply(t, nil, &trem.Error{Code: trem.CodeState, Text: r.Error()})
			}
			return m
		}},
	} {
		t.Run(name, func(t *testing.T) {
			nonce, session = nil, nil
			var failed []string
			err := conform.Run(t.Context(), conform.Config{Dial: behind(t, tc.b), Dir: t.TempDir(), Now: time.Now}, func(r conform.Result) {
				if r.Err != nil && !errors.Is(r.Err, conform.ErrNotReached) {
					failed = append(failed, r.Name)
				}
			})
			if err != nil || !slices.ContainsFunc(failed, func(n string) bool { return strings.Contains(n, tc.check) }) {
				t.Errorf("%q does not fail: %q do (%v)", tc.check, failed, err)
			}
		})
	}
}

// TestTREM_Conformance_WhatIsNotReachedDoesNotHold judges a module that is not
// there, and one that is not new.
func TestTREM_Conformance_WhatIsNotReachedDoesNotHold(t *testing.T) {
	gone := errors.New("nobody answers")
	cfg := conform.Config{Dir: t.TempDir(), Now: time.Now, Dial: func(context.Context) (io.ReadWriteCloser, error) { return nil, gone }}
	if err := conform.Run(t.Context(), cfg, func(r conform.Result) { t.Errorf("%s: %v", r.Name, r.Err) }); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
	old := behind(t, func(cmd trem.Command, _, m trem.Message) trem.Message {
		var s trem.Status
		if err := trem.ParseReply(m.Header, &s); cmd == trem.CmdStatus && err == nil {
			s.Role = "device"
			m.Header = reply(t, s, nil)
		}
		return m
	})
	holds := 0
	err := conform.Run(t.Context(), conform.Config{Dial: old, Dir: t.TempDir(), Now: time.Now}, func(r conform.Result) {
		if r.Err == nil {
			holds++
		}
	})
	if err != nil || holds != 1 {
		t.Errorf("%d checks of a module that is not new hold (%v); want that of STATUS alone", holds, err)
	}
}
