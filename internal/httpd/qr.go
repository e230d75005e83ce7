package httpd

import (
	"fmt"

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
