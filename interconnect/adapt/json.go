package adapt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxNesting is how deep a JSON document may go. Source: local, docs/spec/adapt.md.
const maxNesting = 16

// DecodeJSON reads one JSON value of at most limit bytes into v, for formats
// whose meaning hangs on each member: a member that stands twice, nesting
// beyond 16 levels and anything behind the value are ErrDocument. Numbers in
// an any stay json.Number.
func DecodeJSON(data []byte, limit int, v any) error {
	if len(data) > limit {
		return fmt.Errorf("%w: more than %d bytes", ErrDocument, limit)
	}
	if err := checkJSON(data); err != nil {
		return fmt.Errorf("%w: %w", ErrDocument, err)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("%w: JSON of another form", ErrDocument)
	}
	return nil
}

// checkJSON walks the tokens: Go's decoder lets the last of two members win.
func checkJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var open []map[string]bool // one set for each open object, nil for an array
	name := false              // the next string is a member name
	for n := 0; ; n++ {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) && n > 0 && len(open) == 0 {
			return nil
		}
		if err != nil {
			return errors.New("not JSON")
		}
		if n > 0 && len(open) == 0 {
			return errors.New("something stands behind the value")
		}
		switch t := tok.(type) {
		case json.Delim:
			switch t {
			case '{':
				open, name = append(open, map[string]bool{}), true
			case '[':
				open, name = append(open, nil), false
			default:
				open = open[:len(open)-1]
				name = len(open) > 0 && open[len(open)-1] != nil
			}
			if len(open) > maxNesting {
				return errors.New("nested too deep")
			}
			continue
		case string:
			if name {
				set := open[len(open)-1]
				if set[t] {
					return errors.New("a member stands twice")
				}
				set[t], name = true, false
				continue
			}
		}
		name = len(open) > 0 && open[len(open)-1] != nil
	}
}
