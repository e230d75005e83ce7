package issuerapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
)

// entityTag is the strong tag of an answer: its hash.
func entityTag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
}

// matches reports whether a tag stands in the value of If-Match or If-None-Match.
func matches(header, tag string) bool {
	for part := range strings.SplitSeq(header, ",") {
		if part = strings.TrimPrefix(strings.TrimSpace(part), "W/"); part == "*" || part == tag {
			return true
		}
	}
	return false
}

// tagged gives answers of the API headers that hold for all of them, and to
// GETs of it an entity tag; who has that answer already gets 304 (RFC 9110 section 13).
func tagged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/api/") && !strings.HasPrefix(r.URL.Path, "/status/") {
			next.ServeHTTP(w, r)
			return
		}
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet || whole(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		kept := &keeper{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(kept, r)
		if kept.status == http.StatusOK {
			h.Set("Cache-Control", "private, no-cache")
			tag := entityTag(kept.body.Bytes())
			h.Set("ETag", tag)
			if matches(r.Header.Get("If-None-Match"), tag) {
				w.WriteHeader(http.StatusNotModified)
				return
			}
		}
		w.WriteHeader(kept.status)
		_, _ = kept.body.WriteTo(w) // the peer is gone
	})
}

// whole reports whether an answer is not held back to be tagged, since it may be long.
func whole(path string) bool { return strings.HasSuffix(path, "/export") }

// keeper holds an answer back. Answers of the API are pages of bounded size.
type keeper struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (k *keeper) WriteHeader(status int) { k.status = status }

func (k *keeper) Write(b []byte) (int, error) { return k.body.Write(b) }
