package example

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/interconnect/adapt"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
)

// snippet: system

// Adapter translates licenses and VendorX documents. The zero value is ready.
type Adapter struct{}

var _ adapt.Adapter = Adapter{}

// System describes what a VendorX player keeps, and nothing that it does not.
func (Adapter) System() adapt.System {
	return adapt.System{
		Name: "vendorx", Version: "VendorX Rights 1", Imports: true,
		Permissions: []permission.Permission{permission.Play},
		Enforces:    []string{"END_TIME", "PLAY_COUNT", "RESOLUTION"},
		Holds:       []string{}, Keys: "in the VendorX player since it was made",
	}
}

// end snippet

// snippet: parse

// maxDocument bounds a document, in bytes. Source: local.
const maxDocument = 4096

const firstLine = "VendorX-Rights: 1"

// parse reads the fields of a document. It is strict: what two readers could
// read in two ways is not of the format.
func parse(doc []byte) (map[string]string, error) {
	lines := strings.Split(strings.TrimSuffix(string(doc), "\n"), "\n")
	if len(doc) > maxDocument || lines[0] != firstLine {
		return nil, fmt.Errorf("%w: no line %q", adapt.ErrDocument, firstLine)
	}
	fields := map[string]string{}
	for _, line := range lines[1:] {
		name, value, ok := strings.Cut(line, ": ")
		if _, twice := fields[name]; !ok || twice || name == "" || value == "" {
			return nil, fmt.Errorf("%w: a line that is no field, or a field twice", adapt.ErrDocument)
		}
		fields[name] = value
	}
	return fields, nil
}

// end snippet

// snippet: import

// Import reads a document as a proposal. A field that is not known grants
// nothing; one that must be understood and is not refuses the document.
func (Adapter) Import(ctx context.Context, doc []byte) (adapt.Proposal, error) {
	if err := ctx.Err(); err != nil {
		return adapt.Proposal{}, err
	}
	fields, err := parse(doc)
	if err != nil {
		return adapt.Proposal{}, err
	}
	if len(fields) == 0 {
		return adapt.Proposal{}, fmt.Errorf("%w: it has no field", adapt.ErrNoRights)
	}
	x := permission.UsageUnit{Kind: permission.Playback}
	var loss adapt.Loss
	for name, value := range fields {
		switch name {
		case "Title": // below
		case "Until":
			x.EndTime, err = readTime(value)
		case "Plays":
			x.PlayCount, err = readCount(value)
		case "Quality":
			x.MaxPixels, err = readQuality(value)
		case "Guests":
			loss = append(loss, adapt.Lost{Right: "Guests", Effect: adapt.Dropped, Words: "Guests of the house watch with it; nobody else may."})
		default:
			if strings.HasPrefix(name, "!") {
				return adapt.Proposal{}, fmt.Errorf("%w: the field %.40q", adapt.ErrUnknown, name)
			}
		}
		if err != nil {
			return adapt.Proposal{}, fmt.Errorf("%w: the field %.40q", adapt.ErrDocument, name)
		}
	}
	units := &permission.Units{Usage: []permission.UsageUnit{x}}
	code, err := units.Encode()
	if err != nil {
		return adapt.Proposal{}, fmt.Errorf("%w: %w", adapt.ErrDocument, err)
	}
	return adapt.Proposal{Code: code, About: fields["Title"], Policy: adapt.Strict(units), Loss: loss}, nil
}

// end snippet

// snippet: values

// readTime reads whole seconds. The end itself is not permitted.
func readTime(s string) (int64, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.UnixMilli() <= 0 || t.Nanosecond() != 0 {
		return 0, adapt.ErrDocument
	}
	return t.UnixMilli(), nil
}

func readCount(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != s {
		return 0, adapt.ErrDocument
	}
	return n, nil
}

// readQuality gives the most pixels of a picture; 0 is no limit.
func readQuality(s string) (uint64, error) {
	switch s {
	case "sd":
		return content.MaxSD, nil
	case "hd":
		return content.MaxHD, nil
	case "uhd":
		return 0, nil
	}
	return 0, adapt.ErrDocument
}

// quality is the best quality that has at most so many pixels.
func quality(pixels uint64) (string, bool) {
	switch {
	case pixels == 0:
		return "uhd", true
	case pixels >= content.MaxHD:
		return "hd", true
	case pixels >= content.MaxSD:
		return "sd", true
	}
	return "", false
}

// end snippet

// snippet: export

// Export writes a license as a document. Flatten has refused what a VendorX
// player would not keep; here only the words change, and each change makes less
// of the license, never more.
func (a Adapter) Export(ctx context.Context, lic *license.License) (adapt.Artifact, adapt.Loss, error) {
	if err := ctx.Err(); err != nil {
		return adapt.Artifact{}, nil, err
	}
	t, loss, err := adapt.Flatten(lic, a.System())
	if err != nil {
		return adapt.Artifact{}, nil, err
	}
	best, ok := quality(t.MaxPixels)
	if !ok {
		return adapt.Artifact{}, nil, &adapt.UnheldError{System: a.System().Name, Rights: []string{"RESOLUTION"}}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nTitle: %s\nQuality: %s\n", firstLine, lic.Info().Content, best)
	if t.End != 0 { // a fraction of a second is cut off: earlier, never later
		fmt.Fprintf(&b, "Until: %s\n", time.UnixMilli(t.End).UTC().Format(time.RFC3339))
	}
	if t.Plays != 0 {
		fmt.Fprintf(&b, "Plays: %d\n", t.Plays)
	}
	return adapt.Artifact{MediaType: "text/vnd.vendorx.rights", Body: []byte(b.String())}, loss, nil
}

// end snippet
