package httpd

import (
	"fmt"
	"strings"

	"rsc.io/qr"
)

// QR is a picture (PNG) of a URL, for a camera.
func QR(url string) ([]byte, error) {
	c, err := qr.Encode(url, qr.M)
	if err != nil {
		return nil, fmt.Errorf("draw the QR code: %w", err)
	}
	return c.PNG(), nil
}

// drawnQR is a QR code as lines of SVG, which a printer draws sharp at any size and no
// policy of a page has to allow.
type drawnQR struct {
	Size int    // modules on each side, with the quiet zone
	Path string // a line of width 1 through each run of dark modules
}

// quietZone is how many light modules surround a QR code. Source: ISO/IEC 18004, 9.1.
const quietZone = 4

func drawQR(url string) (drawnQR, error) {
	c, err := qr.Encode(url, qr.M)
	if err != nil {
		return drawnQR{}, fmt.Errorf("draw the QR code: %w", err)
	}
	var b strings.Builder
	for y := range c.Size {
		for x := 0; x < c.Size; x++ {
			from := x
			for x < c.Size && c.Black(x, y) {
				x++
			}
			if x > from {
				fmt.Fprintf(&b, "M%d %d.5h%d", from+quietZone, y+quietZone, x-from)
			}
		}
	}
	return drawnQR{c.Size + 2*quietZone, b.String()}, nil
}
