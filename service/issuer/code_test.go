package issuer_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lares-drm/lares/service/issuer"
)

const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

func claimKey(t testing.TB, b byte) issuer.ClaimKey {
	t.Helper()
	k, err := issuer.NewClaimKey([]byte(strings.Repeat(string(rune(b)), 32)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestClaimCode_Spec1_ReadAsPeopleTypeIt(t *testing.T) {
	code := issuer.CodeOf(claimKey(t, 1), issuer.BatchID{1}, 0)
	text := code.Text()
	for _, typed := range []string{
		text, strings.ToLower(text), code.Grouped(), " " + strings.ReplaceAll(code.Grouped(), "-", " ") + "\n", "https://shop.example/c/" + text,
		"http://127.0.0.1:7720/shop/c/" + code.Grouped(), strings.NewReplacer("0", "O", "1", "l").Replace(text),
	} {
		if got, err := issuer.ParseClaimCode(typed); err != nil || got != code {
			t.Errorf("a way to type it was refused: %v", err)
		}
	}
	for _, typed := range []string{
		"", text[:11], text + "0", text[:11] + "U", text[:11] + "é", "https://shop.example/c/", "https://shop.example/c/" + text + "?x", text + strings.Repeat(" ", 600),
	} {
		if _, err := issuer.ParseClaimCode(typed); !errors.Is(err, issuer.ErrMistyped) {
			t.Errorf("%d bytes: %v, want ErrMistyped", len(typed), err)
		}
	}
	if got := fmt.Sprintf("%v %s %+v", code, code, struct{ C issuer.ClaimCode }{code}); strings.Contains(got, text) {
		t.Error("a code prints itself")
	}
}

// One wrong symbol, and any two that changed places, are always found.
func TestClaimCode_Spec1_CheckSymbol(t *testing.T) {
	for n := range uint64(50) {
		text := issuer.CodeOf(claimKey(t, 1), issuer.BatchID{2}, n).Text()
		for i := range text {
			for _, s := range alphabet {
				if wrong := text[:i] + string(s) + text[i+1:]; wrong != text {
					if _, err := issuer.ParseClaimCode(wrong); err == nil {
						t.Fatalf("code %d: a wrong symbol at %d was not found", n, i)
					}
				}
			}
			for j := range i {
				b := []byte(text)
				b[i], b[j] = b[j], b[i]
				if _, err := issuer.ParseClaimCode(string(b)); err == nil && string(b) != text {
					t.Fatalf("code %d: symbols %d and %d changed places, and it was not found", n, j, i)
				}
			}
		}
	}
}

// Each symbol of a code but the last is as likely as any other.
func TestClaimCode_Spec1_EverySymbolIsUsed(t *testing.T) {
	const codes = 2000
	var seen [12][32]int
	for n := range uint64(codes) {
		for i, s := range issuer.CodeOf(claimKey(t, 3), issuer.BatchID{3}, n).Text() {
			seen[i][strings.IndexRune(alphabet, s)]++
		}
	}
	for i := range seen {
		for s, n := range seen[i] {
			if n < codes/32/3 || n > codes/32*3 {
				t.Errorf("symbol %d was %c %d times of %d", i, alphabet[s], n, codes)
			}
		}
	}
}

func FuzzClaimCode(f *testing.F) {
	f.Add(issuer.CodeOf(claimKey(f, 1), issuer.BatchID{1}, 0).Grouped())
	f.Add("https://shop.example/c/7KQ2M4XD9T3V")
	f.Add("ilo0-ILO1")
	f.Fuzz(func(t *testing.T, typed string) {
		c, err := issuer.ParseClaimCode(typed)
		if err != nil {
			return
		}
		for _, again := range []string{c.Text(), c.Grouped(), "x" + issuer.ClaimPath + c.Text()} {
			if got, err := issuer.ParseClaimCode(again); err != nil || got != c {
				t.Errorf("%q was read and its own form was not: %v", typed, err)
			}
		}
	})
}
