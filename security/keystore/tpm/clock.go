package tpm

import (
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"github.com/lares-drm/lares/security/keystore"
)

// Clock is TPM2_ReadClock. The TPM gives it to anybody and does not
// authenticate it: who is between the module and its TPM can change it.
func (s *Store) Clock() (r keystore.Reading, err error) {
	err = s.do(func(ch *chip) error {
		out, err := tpm2.ReadClock{}.Execute(ch.conn)
		if err != nil {
			return fmt.Errorf("keystore: read the TPM's clock: %w", err)
		}
		c := out.CurrentTime.ClockInfo
		r = keystore.Reading{MS: c.Clock, Resets: c.ResetCount, Restarts: c.RestartCount, Safe: c.Safe}
		return nil
	})
	return r, err
}
