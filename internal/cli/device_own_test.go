package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lares-drm/lares/content/film"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/service/home"
)

// ownFilm puts one of the household's own films into a watched folder of the house. The
// phone, over TLS and on a link on which it has proven itself, lists and plays it; the
// shop, which is in the same network, does not get it.
func (n *network) ownFilm() {
	n.t.Helper()
	data, err := film.Files.ReadFile(film.HD)
	if err != nil {
		n.t.Fatal(err)
	}
	folder := n.hosts["home"].path("films")
	var got added
	if err := os.Mkdir(folder, 0o700); err != nil {
		n.t.Fatal(err)
	}
	n.query(&got, "home", "home", "add", folder, "--dir", n.path("home"))
	if got.Watched == nil || *got.Watched != (home.Found{Folder: folder}) {
		n.t.Fatalf("an empty folder: %+v", got)
	}
	if err := os.WriteFile(filepath.Join(folder, "Holidays.mp4"), data, 0o600); err != nil {
		n.t.Fatal(err)
	}
	var list []httpd.FilmView
	for end := time.Now().Add(20 * time.Second); len(list) == 0 && time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		n.query(&list, "phone", "device", "films", "--dir", n.path("phone"))
	}
	if len(list) != 1 || list[0].Title != "Holidays" || list[0].Bytes != int64(len(data)) {
		n.t.Fatalf("own films: %+v", list)
	}
	id, to := list[0].ID.String(), n.hosts["phone"].path("own.mp4")
	n.must("phone", "device", "play", id, "--dir", n.path("phone"), "--out", to)
	if copied, err := os.ReadFile(to); err != nil || !bytes.Equal(copied, data) {
		n.t.Errorf("the phone got %d bytes, %v", len(copied), err)
	}
	hashes := n.hosts["phone"].path("hashes")
	play := needs.Tool(n.t, "ffmpeg") + " -v error -nostdin -ss 50 -i {} -map 0:v -map 0:a -c copy -f streamhash -hash md5 " + hashes
	n.must("phone", "device", "play", id, "--dir", n.path("phone"), "--player", play)
	if sum, err := os.ReadFile(hashes); err != nil || strings.Count(string(sum), "MD5=") != 2 {
		n.t.Errorf("a player that seeks: %q, %v", sum, err)
	}
	for _, path := range []string{home.PathFilms, list[0].File, "/film/" + id} {
		read := "import ssl, sys, urllib.request, urllib.error\ntry:\n print(urllib.request.urlopen('http://" + houseAddr + ":7710" + path + "').status)\nexcept urllib.error.HTTPError as e: print(e.code)"
		out, err := n.in(n.hosts["shop"].pid, needs.Tool(n.t, "python3"), "-c", read).Output()
		if err != nil || strings.TrimSpace(string(out)) != "403" {
			n.t.Errorf("the shop asks for %s: %s, %v", path, out, err)
		}
	}
	for _, bad := range []struct {
		code int
		args []string
	}{{statusUsage, []string{id, "--out", to, "--from", "1000"}}, {statusError, []string{home.OwnPrefix + strings.Repeat("0", 32), "--out", to}}} {
		a, err := n.hosts["phone"].run(n.t.Context(), append([]string{"device", "play", "--dir", n.path("phone")}, bad.args...)...)
		if err != nil || a.code != bad.code {
			n.t.Errorf("%q: status %d, %s, %v", bad.args, a.code, a.stderr, err)
		}
	}
	n.must("home", "home", "folders", "--dir", n.path("home"), "--remove", folder)
	if err := json.Unmarshal([]byte(n.must("phone", "device", "films", "--dir", n.path("phone"), "--json")), &list); err != nil || len(list) != 0 {
		n.t.Errorf("taken out of the library: %v, %v", list, err)
	}
}
