package conform

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/lares-drm/lares/security/trem"
)

// streamChecks are of the layout: a module that is new answers them all.
func streamChecks() []Check {
	return []Check{
		{Name: "STATUS answers", run: checkStatus, gate: true},
		{Name: "the module is new", run: checkNew, gate: true},
		{Name: "a malformed header is MALFORMED, and the stream goes on", run: checkMalformed},
		{Name: "a malformed body is MALFORMED, and the stream goes on", run: checkBodies},
		{Name: "unknown commands are MALFORMED", run: checkUnknown},
		{Name: "answers come in order, one for each command", run: checkOrder},
		{Name: "a length over a limit ends the stream", run: checkLimits, gate: true},
		{Name: "a message that is cut ends the stream, and nothing else", run: checkCut, gate: true},
	}
}

func checkStatus(ctx context.Context, s *subject) error {
	st, err := s.Status(ctx)
	if err != nil {
		return err
	}
	var zero trem.Status
	switch {
	case st.Device == zero.Device:
		return errors.New("it names no device ID")
	case st.Incarnation == zero.Incarnation:
		return errors.New("it names no incarnation")
	case st.Level < 1 || st.Level > 3:
		return fmt.Errorf("level %d; want 1 to 3", st.Level)
	case st.Clock.Quality == "":
		return errors.New("it says nothing of the quality of its clock")
	}
	for _, w := range st.Walls {
		if w.Name == "" || w.Detail == "" {
			return fmt.Errorf("a wall has a name and says why it stands or does not: %+v", w)
		}
	}
	return nil
}

func checkNew(ctx context.Context, s *subject) error {
	st, err := s.Status(ctx)
	if err != nil {
		return err
	}
	if st.Role != "" || st.Licenses > 0 || len(st.Roots) > 0 {
		return fmt.Errorf("it is a %s with %d licenses: only a module that was never enrolled can be judged", st.Role, st.Licenses)
	}
	return nil
}

// Malformed lists headers that no module takes, in hexadecimal, and why.
func Malformed() map[string]string {
	return map[string]string{
		"empty":                    "",
		"a map":                    "a0",
		"an array of two":          "820101",
		"an array of four":         "8401018080",
		"version 0":                "83000180",
		"version 2":                "83020180",
		"text for the command":     "8301613180",
		"a command of 2^32":        "83011b000000010000000080",
		"a byte behind it":         "8301018000",
		"cut":                      "830101",
		"not the shortest integer": "8301180180",
		"an indefinite array":      "9f010180ff",
		"a tag":                    "c183010180",
		"a floating-point number":  "83f93c000180",
	}
}

func checkMalformed(ctx context.Context, s *subject) error {
	return s.malformed(ctx, Malformed())
}

// Bodies lists headers whose command is known and whose body is not of it.
func Bodies() map[string]string {
	return map[string]string{
		"END of a list":              "83011080",
		"END of text":                "830110a1016161",
		"END of a negative number":   "830110a10120",
		"END with a key twice":       "830110a201010102",
		"END with an unknown key":    "830110a20101186301",
		"END with keys out of order": "830110a202010101",
		"END without its second key": "830110a10101",
		"DECRYPT with key 3 of 0":    "83010fa3010702010300",
		"RECEIVE of one item":        "83010781f6",
		"RECEIVE of a map":           "830107a0",
		"EVALUATE of text for bytes": "83010ca1026161",
		"ENROLL of a list":           "83010380",
	}
}

func checkBodies(ctx context.Context, s *subject) error { return s.malformed(ctx, Bodies()) }

func (s *subject) malformed(ctx context.Context, list map[string]string) error {
	var errs []error
	for what, text := range list {
		header, err := hex.DecodeString(text)
		if err != nil {
			return err
		}
		payload, err := s.raw(header, nil)
		errs = append(errs, wantNothing(what, payload, err, trem.CodeMalformed))
		if errors.Is(err, trem.ErrStream) {
			return errors.Join(errs...)
		}
	}
	return errors.Join(append(errs, s.alive(ctx))...)
}

// Unknown lists headers of commands that are not in the page.
func Unknown() map[string]string {
	return map[string]string{"command 0": "83010080", "command 200": "830118c880", "command 255": "830118ff80"}
}

func checkUnknown(ctx context.Context, s *subject) error { return s.malformed(ctx, Unknown()) }

// checkOrder writes three commands before it reads. Who reads meanwhile is the
// module, which need not take more than one at a time.
func checkOrder(_ context.Context, s *subject) error {
	written := make(chan error, 1)
	go func() { written <- s.writeAll("83010180", "8301188080", "83010b80") }() // STATUS, an unknown one, LICENSES
	var errs []error
	for i, look := range []func(header []byte) error{
		func(h []byte) error { return trem.ParseReply(h, new(trem.Status)) },
		func(h []byte) error {
			return wantCode("an unknown command", trem.ParseReply(h, new(trem.None)), trem.CodeMalformed)
		},
		func(h []byte) error { return trem.ParseReply(h, new([]trem.Held)) },
	} {
		m, err := trem.ReadMessage(s.conn)
		if err != nil {
			return fmt.Errorf("answer %d: %w", i+1, err)
		}
		if err := look(m.Header); err != nil { // those behind it are read all the same
			errs = append(errs, fmt.Errorf("answer %d: %w", i+1, err))
		}
	}
	return errors.Join(append(errs, <-written)...)
}

func (s *subject) writeAll(headers ...string) error {
	for _, header := range headers {
		b, err := hex.DecodeString(header)
		if err != nil {
			return err
		}
		if err := trem.WriteMessage(s.conn, trem.Message{Header: b}); err != nil {
			return err
		}
	}
	return nil
}

func checkLimits(ctx context.Context, s *subject) error {
	for what, size := range map[string][2]uint32{
		"a header of 4 MiB and a byte":   {trem.MaxHeader + 1, 0},
		"a payload of 64 MiB and a byte": {4, trem.MaxPayload + 1},
		"lengths of 2^32 - 1":            {^uint32(0), ^uint32(0)},
	} {
		head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, size[0]), size[1])
		if _, err := s.conn.Write(head); err != nil {
			return err
		}
		if n, err := s.conn.Read(make([]byte, 1)); n > 0 || err == nil {
			return fmt.Errorf("%s: the module answers; want the end of the stream", what)
		}
		if err := errors.Join(s.connect(ctx), s.alive(ctx)); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return nil
}

// checkCut ends a stream within a message, of which a module does nothing.
func checkCut(ctx context.Context, s *subject) error {
	for _, text := range []string{"00", "00000004", "0000000400000000", "0000000400000000830101", "000000040000000183010280"} {
		b, err := hex.DecodeString(text)
		if err != nil {
			return err
		}
		if _, err := s.conn.Write(b); err != nil {
			return err
		}
		if err := errors.Join(s.connect(ctx), s.alive(ctx)); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("after %s: %w", text, err)
		}
	}
	return nil
}
