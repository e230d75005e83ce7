package film_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/lares-drm/lares/content/film"
)

func TestFilm_FilesAreThoseOfTheReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, name := range []string{film.SD, film.HD, film.UHD, film.Poster} {
		b, err := film.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		total += len(b)
		sum := sha256.Sum256(b)
		if line := hex.EncodeToString(sum[:]) + "  " + name; !strings.Contains(string(readme), line) {
			t.Errorf("README.md lacks the line %q", line)
		}
	}
	if total >= 3<<20 {
		t.Errorf("the film is %d bytes, want less than 3 MiB", total)
	}
}

func Example() {
	b, err := film.Files.ReadFile(film.HD)
	fmt.Println(film.Title, string(b[4:8]), err)
	// Output: Lares demo film ftyp <nil>
}
