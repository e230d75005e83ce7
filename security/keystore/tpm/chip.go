package tpm

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"github.com/lares-drm/lares/security/keystore"
)

// handle is a loaded object.
type handle struct {
	tpm2.TPMHandle
	name tpm2.TPM2BName
}

func (h handle) with(s tpm2.Session) tpm2.AuthHandle {
	return tpm2.AuthHandle{Handle: h.TPMHandle, Name: h.name, Auth: s}
}

// srk is the storage key, while it is loaded: it is made from the chip's seed
// each time, always the same, and takes one of three places.
type srk struct {
	handle
	public tpm2.TPMTPublic
}

// once is a session for one command whose first parameter is encrypted,
// in the given direction, under a key that only the chip and this process have:
// the salt is encrypted to the storage key.
func (k *srk) once(encrypt tpm2.AuthOption) tpm2.Session {
	return tpm2.HMAC(tpm2.TPMAlgSHA256, nonceLen, tpm2.Salted(k.TPMHandle, k.public), encrypt)
}

func encryptIn() tpm2.AuthOption  { return tpm2.AESEncryption(128, tpm2.EncryptIn) }
func encryptOut() tpm2.AuthOption { return tpm2.AESEncryption(128, tpm2.EncryptOut) }

// makeSRK loads the storage key.
func makeSRK(c *conn) (*srk, error) {
	out, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.TPMRHOwner,
		InPublic:      tpm2.New2B(tpm2.ECCSRKTemplate),
	}.Execute(c)
	if errors.Is(err, tpm2.TPMRCBadAuth) || errors.Is(err, tpm2.TPMRCAuthFail) {
		return nil, fmt.Errorf("keystore: the TPM's owner hierarchy has a password, and Lares needs it to have none (tpm2_changeauth -c owner): %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("keystore: make the storage key: %w", err)
	}
	k := &srk{handle: handle{out.ObjectHandle, out.Name}}
	public, err := out.OutPublic.Contents()
	if err == nil {
		k.public = *public
		var name *tpm2.TPM2BName
		if name, err = tpm2.ObjectName(public); err == nil && !bytes.Equal(name.Buffer, out.Name.Buffer) {
			err = errors.New("its name is another's")
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("keystore: storage key: %w", err), flush(c, k.TPMHandle))
	}
	return k, nil
}

// create makes an object below the storage key. What is sensitive in it, and
// its authorization value, are encrypted on their way.
func (k *srk) create(c *conn, public tpm2.TPMTPublic, auth, data []byte) (object, error) {
	in := tpm2.TPMSSensitiveCreate{UserAuth: tpm2.TPM2BAuth{Buffer: auth}}
	if data != nil {
		in.Data = tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: data})
	}
	out, err := tpm2.Create{
		ParentHandle: k.with(k.once(encryptIn())),
		InSensitive:  tpm2.TPM2BSensitiveCreate{Sensitive: &in},
		InPublic:     tpm2.New2B(public),
	}.Execute(c)
	if err != nil {
		return object{}, fmt.Errorf("keystore: make a key: %w", err)
	}
	return object{Public: out.OutPublic.Bytes(), Private: out.OutPrivate.Buffer}, nil
}

// load loads an object that create made.
func (k *srk) load(c *conn, o object) (handle, error) {
	out, err := tpm2.Load{
		ParentHandle: k.with(tpm2.PasswordAuth(nil)),
		InPrivate:    tpm2.TPM2BPrivate{Buffer: o.Private},
		InPublic:     tpm2.BytesAs2B[tpm2.TPMTPublic](o.Public),
	}.Execute(c)
	if _, ok := errors.AsType[tpm2.TPMFmt1Error](err); ok { // the TPM's word for a parameter that is wrong
		return handle{}, fmt.Errorf("%w: an object was changed: %w", keystore.ErrDamaged, err)
	}
	if err != nil {
		return handle{}, fmt.Errorf("keystore: load a key: %w", err)
	}
	return handle{out.ObjectHandle, out.Name}, nil
}

// unseal reads the sealed object. Only the TPM that made it can.
func (k *srk) unseal(c *conn, o object) (*secrets, error) {
	h, err := k.load(c, o)
	if err != nil {
		return nil, err
	}
	out, err := tpm2.Unseal{ItemHandle: h.with(k.once(encryptOut()))}.Execute(c)
	if err := errors.Join(err, flush(c, h.TPMHandle)); err != nil {
		return nil, fmt.Errorf("keystore: unseal: %w", err)
	}
	defer clear(out.OutData.Buffer)
	return secretsOf(out.OutData.Buffer)
}

// sessions opens the two sessions that a keystore lives with: plain
// authenticates commands and answers, out encrypts answers as well. Two,
// because an answer without a first parameter cannot be encrypted.
func (k *srk) sessions(c *conn, auth []byte) (plain, out tpm2.Session, err error) {
	plain, shut, err := tpm2.HMACSession(c, tpm2.TPMAlgSHA256, nonceLen, tpm2.Salted(k.TPMHandle, k.public), tpm2.Auth(auth))
	if err != nil {
		return nil, nil, fmt.Errorf("keystore: open a session: %w", err)
	}
	out, _, err = tpm2.HMACSession(c, tpm2.TPMAlgSHA256, nonceLen, tpm2.Salted(k.TPMHandle, k.public), tpm2.Auth(auth), encryptOut())
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("keystore: open a session: %w", err), shut())
	}
	return plain, out, nil
}

func flush(c *conn, h tpm2.TPMHandle) error {
	_, err := tpm2.FlushContext{FlushHandle: h}.Execute(c)
	return err
}

// sweep frees what a process before this one left in the chip: a TPM without a
// resource manager keeps objects and sessions of who was killed, and has three
// places for either. With one (/dev/tpmrm0) only this opening's own are listed,
// and there are none.
func sweep(c *conn) error {
	for _, first := range []tpm2.TPMHandle{transientFirst, sessionFirst} {
		out, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: uint32(first), PropertyCount: 64}.Execute(c)
		if err != nil {
			return fmt.Errorf("keystore: ask for what is loaded: %w", err)
		}
		list, err := out.CapabilityData.Data.Handles()
		if err != nil {
			return fmt.Errorf("keystore: ask for what is loaded: %w", err)
		}
		for _, h := range list.Handle {
			if h>>24 != first>>24 {
				continue
			}
			if err := flush(c, h); err != nil {
				return fmt.Errorf("keystore: free a place: %w", err)
			}
		}
	}
	return nil
}

// First handles of a kind. Source: TPM 2.0 Library, part 2, 7.2.
const (
	sessionFirst   tpm2.TPMHandle = 0x02 << 24
	transientFirst tpm2.TPMHandle = 0x80 << 24
)

// chip is a TPM with a keystore's two keys loaded and its sessions open.
type chip struct {
	conn               *conn
	identity, delivery handle
	plain, out         tpm2.Session
}

// start loads what a file describes. What the chip had loaded before is gone.
func start(c *conn, f *file) (ch *chip, s *secrets, err error) {
	if err := sweep(c); err != nil {
		return nil, nil, err
	}
	k, err := makeSRK(c)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, flush(c, k.TPMHandle)) }()
	if !bytes.Equal(k.name.Buffer, f.SRK) {
		return nil, nil, anotherTPM()
	}
	if s, err = k.unseal(c, f.Sealed); err != nil {
		return nil, nil, err
	}
	ch = &chip{conn: c}
	if ch.identity, err = k.load(c, f.Identity); err == nil {
		ch.delivery, err = k.load(c, f.Delivery)
	}
	if err == nil {
		ch.plain, ch.out, err = k.sessions(c, s.auth[:])
	}
	if err != nil {
		return nil, nil, err
	}
	return ch, s, nil
}

func anotherTPM() error {
	return fmt.Errorf("%w: this TPM is another one than the keys were made in, or was cleared since", keystore.ErrGone)
}

// close frees the chip's places. Its stream stays open.
func (ch *chip) close() error {
	var errs []error
	for _, h := range []tpm2.TPMHandle{ch.identity.TPMHandle, ch.delivery.TPMHandle, ch.plain.Handle(), ch.out.Handle()} {
		errs = append(errs, flush(ch.conn, h))
	}
	return errors.Join(errs...)
}

// lost reports whether a command failed, before it did anything, because what
// was loaded is gone: a TPM forgets it when it is reset, and a machine resets
// its TPM when it comes back from hibernation.
func lost(err error) bool {
	var rc tpm2.TPMRC
	if !errors.As(err, &rc) {
		return false
	}
	return rc >= tpm2.TPMRCReferenceH0 && rc <= tpm2.TPMRCReferenceS6
}
