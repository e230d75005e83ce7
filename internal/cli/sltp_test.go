package cli

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// traced runs `lares sltp trace --json`.
func traced(t *testing.T, args ...string) sltpTrace {
	t.Helper()
	out, errs, code := run(t, append([]string{"sltp", "trace", "--json"}, args...)...)
	var v sltpTrace
	if err := json.Unmarshal([]byte(out), &v); err != nil || code != statusDone || errs != "" {
		t.Fatalf("status %d, %q, %v: %s", code, errs, err, out)
	}
	return v
}

// field finds a field by its names from the outside in.
func field(t *testing.T, m tracedMessage, path ...string) tracedField {
	t.Helper()
	at := m.Fields
	var f tracedField
	for _, name := range path {
		i := slices.IndexFunc(at, func(f tracedField) bool { return f.Name == name })
		if i < 0 {
			t.Fatalf("%s has no %v", m.Name, path)
		}
		f = at[i]
		at = f.Fields
	}
	return f
}

func names(v sltpTrace) (all []string) {
	for _, m := range v.Messages {
		all = append(all, m.Name)
	}
	return all
}

// In every suite, with chains and by reference, the observer decrypts all six
// messages and comes to the session ID that goes over the wire.
func TestSLTPTrace_EverySuite(t *testing.T) {
	for _, suite := range []string{"2", "3", "6", "-22"} {
		for _, ref := range []bool{false, true} {
			t.Run(fmt.Sprintf("suite %s, by reference %v", suite, ref), func(t *testing.T) {
				v := traced(t, "--suite", suite, fmt.Sprintf("--by-reference=%v", ref))
				if want := []string{"message_1", "message_2", "message_3", "message_4", "APP", "APP"}; !slices.Equal(names(v), want) {
					t.Fatalf("messages %v", names(v))
				}
				derived := field(t, v.Messages[3], "session", "session ID").Value
				for _, m := range v.Messages[4:] {
					if got := field(t, m, "protected", "session ID").Value; got != derived || got == "" {
						t.Errorf("session ID %q on the wire, %q derived", got, derived)
					}
				}
				asked := field(t, v.Messages[2], "PLAINTEXT_3", "EAD_3", "req_id").Value
				if got := field(t, v.Messages[3], "PLAINTEXT_4", "EAD_4", "req_id").Value; got != asked {
					t.Errorf("req_id %s was asked, %s answered", asked, got)
				}
				note := field(t, v.Messages[1], "PLAINTEXT_2", "ID_CRED_R").Note
				if strings.HasPrefix(note, "x5t") != ref || strings.HasPrefix(note, "packed chain of ") == ref || !strings.HasPrefix(v.Outcome, "The license arrived, and a second one") {
					t.Errorf("ID_CRED_R: %s. %s", note, v.Outcome)
				}
			})
		}
	}
}

// A peer that knows no packed chains is sent the same certificates in more bytes.
func TestSLTPTrace_X5Chain(t *testing.T) {
	packed, plain := traced(t), traced(t, "--x5chain")
	for n, side := range map[int]string{1: "R", 2: "I"} {
		at := fmt.Sprintf("PLAINTEXT_%d", n+1)
		was, is := field(t, packed.Messages[n], at, "ID_CRED_"+side), field(t, plain.Messages[n], at, "ID_CRED_"+side)
		if !strings.HasPrefix(is.Note, "x5chain: ") || len(is.Fields) != 2 || len(was.Fields) != 2 || is.Fields[0].Value != was.Fields[0].Value {
			t.Errorf("%s: %+v, packed %+v", side, is, was)
		}
	}
	if field(t, packed.Messages[0], "EAD_1", "packed").Value == "" || packed.Bytes > plain.Bytes-700 || !strings.HasPrefix(plain.Outcome, "The license arrived, and a second one") {
		t.Errorf("%d bytes packed, %d as they are: %s", packed.Bytes, plain.Bytes, plain.Outcome)
	}
}

// Whatever byte is changed, what is proven is never said of that message, and
// what a message that does not open costs is one more delivery.
func TestSLTPTrace_Tamper(t *testing.T) {
	for _, tc := range []struct{ at, then, outcome string }{
		{"1", "the source knows a key share", "No license arrived: the exchange ended with REJECTED"},
		{"1:40", "the source knows a key share", "No license arrived, and nothing ended"}, // C_I
		{"2", "the destination ends the exchange: REJECTED (1); its own log says: edhoc: message rejected: signature", "No license arrived"},
		{"3", "the source drops it and goes on: REJECTED (1)", "The license arrived, and a second one"},
		{"4", "the destination drops it and goes on: REJECTED (1)", "The license arrived, and a second one"},
		{"5", "the source drops it and goes on: REJECTED (1)", "The license arrived, and a second one"},
		{"6", "the destination drops it and goes on: REJECTED (1)", "The license arrived, and a second one"},
	} {
		v := traced(t, "--tamper", tc.at)
		m := v.Messages[tc.at[0]-'1']
		if m.Changed == "" || len(m.Then) == 0 || !strings.HasPrefix(m.Then[0], tc.then) || !strings.HasPrefix(v.Outcome, tc.outcome) {
			t.Errorf("--tamper %s: %q, %q: %s", tc.at, m.Changed, m.Then, v.Outcome)
		}
		for _, s := range m.Then {
			if tc.at[0] != '1' && strings.Contains(s, "holds") {
				t.Errorf("--tamper %s: said of a changed message: %s", tc.at, s)
			}
		}
	}
	if v := traced(t, "--tamper", "2"); v.Messages[2].Name != "alert" || field(t, v.Messages[2], "code").Note != "REJECTED" {
		t.Errorf("after a changed message_2: %v", names(v))
	}
}

func TestSLTPTrace_Replay(t *testing.T) {
	for n, want := range []string{"the same answer", "the same answer", "the same answer", "ignored", "the same answer", "ignored"} {
		v := traced(t, "--replay", fmt.Sprint(n+1))
		then := v.Messages[n].Then
		if !strings.HasPrefix(then[len(then)-1], "delivered again: "+want) || len(v.Messages) != messagesOfTrace {
			t.Errorf("--replay %d: %q, %d messages", n+1, then, len(v.Messages))
		}
	}
}

// Nothing of a private key is in a trace, and the text says all that JSON does.
func TestSLTPTrace_ShowsNoPrivateKey(t *testing.T) {
	now := time.Unix(1767225600, 0)
	src, dst, trust, err := newThrowaways(now)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := join(src, dst, trust, 2, false)
	if err != nil {
		t.Fatal(err)
	}
	c := newWiretap(traceOptions{suite: 2, at: -1}, now, src, dst, rec)
	if err := c.run(); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := c.trace.text(&text); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(c.trace)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*throwaway{src, dst} {
		d, err := p.key.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if s := hex.EncodeToString(d); strings.Contains(text.String()+string(data), s) {
			t.Errorf("the private key of the %s is in the trace", p.side)
		}
	}
	for _, want := range []string{"made for this trace", "message_3   destination -> source", "Signature_2", "EAD_2          -62225", "TH_4", "K_I→R", "=> "} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text lacks %q", want)
		}
	}
}

func TestSLTPTrace_Usage(t *testing.T) {
	for _, args := range []string{"--suite 0", "--suite 7", "--tamper 0", "--tamper 7", "--tamper 2:x", "--tamper 2:-1", "--tamper 2:99999", "--replay 7", "--replay -1", "--tamper 1 --replay 1", "more"} {
		out, errs, code := run(t, append([]string{"sltp", "trace"}, strings.Fields(args)...)...)
		if code != statusUsage || out != "" || !strings.Contains(errs, "lares sltp trace --help") {
			t.Errorf("%s: status %d, %q, %q", args, code, out, errs)
		}
	}
}
