package cli

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/content/packager"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license/ident"
)

// watched is a browser's session as a program sees it.
type watched struct {
	ID string `json:"id"`

	base    string
	segment string // address of its first picture segment
}

// reply is a small HTTP answer.
type reply struct {
	status int
	body   []byte
}

func request(ctx context.Context, method, url string, in any) (reply, error) {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return reply{}, err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return reply{}, err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close() //nolint:errcheck // read only
	data, err := io.ReadAll(io.LimitReader(res.Body, maxSegment))
	return reply{res.StatusCode, data}, err
}

// watch opens a session as the page does.
func (d *demo) watch(ctx context.Context, what httpd.PlayBody) (*watched, error) {
	res, err := request(ctx, http.MethodPost, d.homeURL+"/api/v1/sessions", what)
	if err != nil {
		return nil, err
	}
	if res.status != http.StatusCreated {
		return nil, fmt.Errorf("the house opens no session: HTTP %d: %s", res.status, firstLine(string(res.body)))
	}
	s := new(watched)
	if err := json.Unmarshal(res.body, s); err != nil {
		return nil, err
	}
	s.base = d.homeURL + "/play/" + s.ID
	return s, nil
}

// track is one of a packed title.
func (d *demo) track(id ident.Content, tier content.Tier) (*content.TrackFiles, error) {
	data, err := os.ReadFile(d.path("packed", string(id), content.ManifestName))
	if err != nil {
		return nil, err
	}
	m, err := content.ParseManifest(data)
	if err != nil {
		return nil, err
	}
	return trackOf(m, tier)
}

// compare gets the best picture of the session, opens it with the session's
// keys, and holds it against the source. The segments must differ from the
// packed ones: they are under other keys.
func (s *watched) compare(ctx context.Context, d *demo) error {
	t, err := d.track(bought, content.HD)
	if err != nil {
		return err
	}
	key, err := s.key(ctx, t.KID)
	if err != nil {
		return err
	}
	head, err := fetch(ctx, http.DefaultClient, s.base+"/"+t.Name+"/init")
	if err != nil {
		return err
	}
	init, err := content.ParseInit(head)
	if err != nil {
		return err
	}
	stream, err := init.Clear(head)
	if err != nil {
		return err
	}
	for i := range t.Segments {
		s.segment = fmt.Sprintf("%s/%s/%d", s.base, t.Name, i)
		seg, err := fetch(ctx, http.DefaultClient, s.segment)
		if err != nil {
			return err
		}
		if packed, err := os.ReadFile(d.packed(bought) + "/" + t.Segments[i].Name); err != nil || bytes.Equal(seg, packed) {
			return errors.Join(err, errors.New("a segment is as it was packed, under the title's key"))
		}
		f, err := init.Fragment(seg)
		if err != nil {
			return err
		}
		if err := f.Decrypt(func(ident.Key) (cenc.ContentKey, error) { return key, nil }); err != nil {
			return err
		}
		stream = append(stream, seg...)
	}
	file := d.path("browser.mp4")
	if err := os.WriteFile(file, stream, 0o600); err != nil {
		return err
	}
	got, err := packager.StreamHashes(file)
	if err == nil && got["video"] != d.sources["HD"] {
		err = errors.New("the session's key does not open the source's stream")
	}
	return err
}

// key asks for a session key as the browser's Clear Key does.
func (s *watched) key(ctx context.Context, kid ident.Key) (cenc.ContentKey, error) {
	b64 := base64.RawURLEncoding
	res, err := request(ctx, http.MethodPost, s.base+"/license", map[string]any{"kids": []string{b64.EncodeToString(kid[:])}, "type": "temporary"})
	if err != nil {
		return cenc.ContentKey{}, err
	}
	var set struct {
		Keys []struct {
			K string `json:"k"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(res.body, &set); err != nil || len(set.Keys) != 1 {
		return cenc.ContentKey{}, fmt.Errorf("the house gives no key: HTTP %d: %s", res.status, firstLine(string(res.body)))
	}
	k, err := b64.DecodeString(strings.TrimRight(set.Keys[0].K, "="))
	if err != nil {
		return cenc.ContentKey{}, err
	}
	return cenc.NewContentKey(k)
}

// tick is a short pause between two looks at something that takes a moment.
func tick() <-chan time.Time { return time.After(100 * time.Millisecond) }

// classOf is the device class that a device was certified in.
func (d *demo) classOf(ctx context.Context, name string) (uint32, error) {
	var st struct {
		Class uint32 `json:"class"`
	}
	return st.Class, d.query(ctx, &st, "trem", "status", "--dir", d.path(name, "trem"))
}
