package authority

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/lares-drm/lares/internal/wire"
	ca "github.com/lares-drm/lares/security/pki/authority"
)

var update = flag.Bool("update", false, "write the worked examples of the specification anew")

const page = "../../docs/spec/authority-api.md"

// TestPKI_1_WorkedExample holds the page's messages and tables against the code.
func TestPKI_1_WorkedExample(t *testing.T) {
	md, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	der := func(s string) []byte { return []byte(s) }
	for name, v := range map[string]any{
		"request": enrollRequest{Role: 4, Class: 4097, Signing: der("csr-s"), Delivery: der("csr-d"), Voucher: "6OL3-ZOB4-74SN-6SIP"},
		"answer":  enrollAnswer{Chain: [][]byte{der("leaf"), der("ca")}, Delivery: der("ecdh"), Roots: [][]byte{der("root")}},
		"trust":   ca.Trust{Roots: [][]byte{der("root")}, StateSigner: [][]byte{der("ss")}, TimeSigner: [][]byte{der("ts")}, Rotations: [][]byte{der("rot")}},
		"renewal": renewRequest{Chain: [][]byte{der("leaf"), der("ca")}, Signing: der("csr-s"), Delivery: der("csr-d")},
		"refusal": renewAnswer{Code: "not_due", Detail: "not due"},
		"sunset":  sunsetRequest{Statement: der("notice"), Key: der("key"), Chain: [][]byte{der("leaf"), der("ca")}, Proof: der("sent")},
		"waits":   sunsetAnswer{State: ca.SentWaits, Since: 1803859200000},
	} {
		want, err := wire.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		block := regexp.MustCompile("(?s)```hex " + name + "\n(.*?)```")
		if *update {
			md = block.ReplaceAllLiteral(md, fmt.Appendf(nil, "```hex %s\n%x\n```", name, want))
		}
		m := block.FindSubmatch(md)
		if m == nil {
			t.Errorf("no block %q", name)
			continue
		}
		got, err := hex.DecodeString(strings.Join(strings.Fields(string(m[1])), ""))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("block %q is %x (%v), want %x", name, got, err, want)
		}
	}
	if *update {
		if err := os.WriteFile(page, md, 0o644); err != nil { //nolint:gosec // a page of the manual
			t.Fatal(err)
		}
	}
	for _, o := range outcomes {
		if row := fmt.Sprintf("| %d | `%s` |", o.status, o.code); !bytes.Contains(md, []byte(row)) {
			t.Errorf("the page has no row %s", row)
		}
	}
	wantSameRoutes(t, string(md))
}

// wantSameRoutes: what is served stands in the page's first table, and what stands there
// is served; the frames are another handler's.
func wantSameRoutes(t *testing.T, md string) {
	t.Helper()
	served := map[string]bool{"POST /lrp/v1/frames": true}
	for pattern := range new(Server).routes() {
		served[strings.Replace(pattern, "{from}/{to}", "A/B", 1)] = true
	}
	table, _, _ := strings.Cut(md, "\nThe last 64 epochs")
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Z]+ [^`?]+)").FindAllStringSubmatch(table, -1) {
		if !served[m[1]] {
			t.Errorf("the page names %s, which is not served, or twice", m[1])
		}
		delete(served, m[1])
	}
	for pattern := range served {
		t.Errorf("the page does not name %s", pattern)
	}
}

// FuzzEnrollRequest: what is read is written the same.
func FuzzEnrollRequest(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		var in enrollRequest
		if wire.Unmarshal(data, &in, wire.Limit{Bytes: maxEnroll, Items: 8, Depth: 2}) != nil {
			return
		}
		if again, err := wire.Marshal(in); err != nil || !bytes.Equal(again, data) {
			t.Fatal("another request")
		}
	})
}

// FuzzSunsetRequest: what is read is written the same.
func FuzzSunsetRequest(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		var in sunsetRequest
		if wire.Unmarshal(data, &in, sendLimit()) != nil {
			return
		}
		if again, err := wire.Marshal(in); err != nil || !bytes.Equal(again, data) {
			t.Fatal("another request")
		}
	})
}
