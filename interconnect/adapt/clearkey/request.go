package clearkey

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/lares-drm/lares/license/ident"
)

// Limits of the documents of a Clear Key session. Source: local, docs/spec/clearkey.md.
const (
	// MaxRequest is the largest license request, in bytes.
	MaxRequest = 4096
	// MaxKIDs is how many keys one request may ask for.
	MaxKIDs = 32
)

// Temporary is the only session type there is: both browsers refuse
// "persistent-license" for Clear Key, and so do we. Source: EME, MediaKeySessionType.
const Temporary = "temporary"

// ErrRequest is returned for bytes that are not a Clear Key license request.
var ErrRequest = errors.New("clearkey: not a license request")

// Request is a license request of a browser: which keys it misses.
// Source: EME, "License Request Format" of Clear Key.
type Request struct {
	KIDs []ident.Key // 1 to MaxKIDs, without repeats, in the browser's order
}

type requestJSON struct {
	KIDs []string `json:"kids"`
	Type string   `json:"type"`
}

// ParseRequest reads a license request. It is strict: members that are not
// of the format, a repeated KID, padding or another base64 alphabet, an
// empty list and trailing bytes are errors.
func ParseRequest(data []byte) (*Request, error) {
	if len(data) > MaxRequest {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrRequest, MaxRequest)
	}
	var in requestJSON
	if err := decode(data, &in); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	if in.Type != Temporary {
		return nil, fmt.Errorf("%w: only sessions of type %q are served", ErrRequest, Temporary)
	}
	if len(in.KIDs) == 0 || len(in.KIDs) > MaxKIDs {
		return nil, fmt.Errorf("%w: %d keys asked for, 1 to %d are allowed", ErrRequest, len(in.KIDs), MaxKIDs)
	}
	req := &Request{}
	seen := map[ident.Key]bool{}
	for _, text := range in.KIDs {
		kid, err := parseKID(text)
		if err != nil || seen[kid] {
			return nil, fmt.Errorf("%w: a key ID is malformed or repeated", ErrRequest)
		}
		seen[kid] = true
		req.KIDs = append(req.KIDs, kid)
	}
	return req, nil
}

// Encode gives the request as browsers write it.
func (r *Request) Encode() ([]byte, error) {
	out := requestJSON{KIDs: []string{}, Type: Temporary}
	for _, kid := range r.KIDs {
		out.KIDs = append(out.KIDs, encode(kid[:]))
	}
	return json.Marshal(out)
}

// decode reads exactly one JSON object of v's form. Go's decoder matches
// member names in any case and lets later ones win, so the member names are
// checked apart.
func decode(data []byte, v any) error {
	if err := checkMembers(data); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return errors.New("JSON of another form")
	}
	return nil
}

var errForm = errors.New("JSON of another form")

// checkMembers refuses repeated member names, names that are not exactly those
// of the format, nulls, nesting beyond the format and anything after the object.
func checkMembers(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	var names []map[string]bool // one set for each open object, nil for an array
	key := false                // the next string is a member name
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil || tok == nil || len(names) > maxNesting {
			return errForm
		}
		switch t := tok.(type) {
		case json.Delim:
			switch t {
			case '{':
				names, key = append(names, map[string]bool{}), true
			case '[':
				names, key = append(names, nil), false
			default:
				names = names[:len(names)-1]
				key = len(names) > 0 && names[len(names)-1] != nil
				if len(names) == 0 && dec.More() {
					return errForm
				}
			}
			continue
		case string:
			if key {
				set := names[len(names)-1]
				if set[t] || !members[t] {
					return errForm
				}
				set[t], key = true, false
				continue
			}
		}
		key = len(names) > 0 && names[len(names)-1] != nil
	}
}

// maxNesting is an object, an array and an object. Source: EME, Clear Key formats.
const maxNesting = 3

// members are the names that the Clear Key formats use. Source: EME.
var members = map[string]bool{"kids": true, "type": true, "keys": true, "kty": true, "kid": true, "k": true, "alg": true}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func parseKID(text string) (kid ident.Key, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != len(kid) || encode(b) != text {
		return kid, ident.ErrID
	}
	return ident.Key(b), nil
}
