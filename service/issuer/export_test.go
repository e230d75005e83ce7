package issuer

import "time"

// Now is the issuer's clock.
func (i *Issuer) Now() func() time.Time { return i.cfg.Now }
