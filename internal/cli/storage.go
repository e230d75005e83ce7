package cli

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/security/trem"
)

// storageFlags say where a new module has its keys.
type storageFlags struct {
	kind    string
	storage trem.KeyStorage
}

// defaultTPM is the TPM of a Linux machine, behind the kernel's resource manager.
const defaultTPM = "/dev/tpmrm0"

// add adds the flags to a command that makes a module.
func (f *storageFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.kind, "keystore", "", "where the module's keys are: soft (SL1), pkcs11 (SL2) or tpm (SL3); default: where they are, else soft")
	cmd.Flags().StringVar(&f.storage.TPM, "tpm", "", "device or unix socket of the TPM (default "+defaultTPM+")")
	cmd.Flags().StringVar(&f.storage.Register, "tpm-register", "", "what the TPM keeps against rollback: extend or counter (default extend)")
	cmd.Flags().StringVar(&f.storage.Module, "pkcs11-module", "", "path of the token's PKCS#11 library")
	cmd.Flags().StringVar(&f.storage.Token, "pkcs11-token", "", "label of the token")
	cmd.Flags().StringVar(&f.storage.PINFile, "pin-file", "", "file with the token's PIN, readable by its owner only")
	cmd.Flags().StringVar(&f.storage.TokenDir, "pkcs11-dir", "", "folder that the library writes while it runs (SoftHSM's tokens)")
}

// prepare notes in the module's folder where its keys are to be, before the
// module is started the first time.
func (f *storageFlags) prepare(dir string) error {
	k := f.storage
	if f.kind == "" {
		if k != (trem.KeyStorage{}) {
			return usage("say which with --keystore: pkcs11 or tpm")
		}
		return nil // as the folder says
	}
	k.Kind = f.kind
	if k.Kind == trem.StorageTPM {
		if k.TPM == "" {
			k.TPM = defaultTPM
		}
		if k.Register == "" {
			k.Register = trem.RegisterExtend
		}
	}
	for _, p := range []*string{&k.TPM, &k.Module, &k.PINFile, &k.TokenDir} {
		if *p == "" {
			continue
		}
		full, err := filepath.Abs(*p)
		if err != nil {
			return fmt.Errorf("find %s: %w", *p, err)
		}
		*p = full
	}
	if err := k.Check(); err != nil {
		return usage("%w (--keystore %s: see --help)", err, k.Kind)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the module's folder: %w", err)
	}
	if err := k.Fits(dir); err != nil {
		return moved(err, k.Kind)
	}
	old, err := trem.LoadKeyStorage(dir)
	if err != nil {
		return err
	}
	if old.Kind == k.Kind && old.Register != k.Register {
		return refused("this module is tied to a register of kind %s, and stays so", old.Register)
	}
	return k.Save(dir)
}

// moved says what to do instead of moving keys.
func moved(err error, kind string) error {
	if !errors.Is(err, trem.ErrMoved) {
		return err
	}
	return refused("%w. There is no export: make a new module in another folder (lares trem init --dir NEW --keystore %s), enroll it, "+
		"and hand over to it what this one holds (lares device move, lares home backup)", err, kind)
}

// openTPM opens the TPM for a module, which opens nothing itself.
func openTPM(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("find the TPM: %w", err)
	}
	if info.Mode()&os.ModeSocket == 0 {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if errors.Is(err, os.ErrPermission) {
			return nil, fmt.Errorf("open the TPM: %w (its users are in the group tss on most systems: usermod -aG tss USER)", err)
		}
		if err != nil {
			return nil, fmt.Errorf("open the TPM: %w", err)
		}
		return f, nil
	}
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("open the TPM: %w", err)
	}
	f, err := conn.File()
	return f, errors.Join(err, conn.Close())
}
