package tpm

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"github.com/lares-drm/lares/security/keystore"
)

// firstIndex is the first NV handle that registers take; there are 2^20. It is
// in the range that the owner may use. Source: TCG Registry of Reserved TPM 2.0
// Handles, 2.2.2 (0x01800000 to 0x01BFFFFF); the choice is local.
const firstIndex = 0x01900000

// Value lengths of the registers, in bytes. Source: TPM 2.0 Library, part 2, 13.4.
const (
	extendLen  = 32
	counterLen = 8
)

// public is what a register is. Neither owner nor platform may read or write
// it, only who has the authorization value; the owner may delete it, but not
// make it again with that value. It is written at each step, not at shutdown.
func (f *file) public(written bool) tpm2.TPMSNVPublic {
	p := tpm2.TPMSNVPublic{
		NVIndex: tpm2.TPMHandle(f.Index), NameAlg: tpm2.TPMAlgSHA256, DataSize: extendLen,
		Attributes: tpm2.TPMANV{AuthRead: true, AuthWrite: true, NoDA: true, NT: tpm2.TPMNTExtend, Written: written},
	}
	if f.Kind == Counter {
		p.DataSize, p.Attributes.NT = counterLen, tpm2.TPMNTCounter
	}
	return p
}

// register is the register's handle. Its name says what it is, and is part of
// what sessions authenticate, so a register of other attributes fails.
func (f *file) register(written bool) (handle, error) {
	p := f.public(written)
	name, err := tpm2.NVName(&p)
	if err != nil {
		return handle{}, fmt.Errorf("keystore: register: %w", err)
	}
	return handle{tpm2.TPMHandle(f.Index), *name}, nil
}

// define makes the register and writes it once, since one that was never
// written has no value.
func (k *srk) define(c *conn, ch *chip, f *file, auth []byte) error {
	_, err := tpm2.NVDefineSpace{
		AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: k.once(encryptIn())},
		Auth:       tpm2.TPM2BAuth{Buffer: auth},
		PublicInfo: tpm2.New2B(f.public(false)),
	}.Execute(c)
	if err != nil {
		return fmt.Errorf("keystore: make the register: %w", err)
	}
	h, err := f.register(false)
	if err != nil {
		return err
	}
	return ch.step(f.Kind, h, [32]byte{})
}

// undefine deletes the register of a creation that was cut short, if it came to
// be: only its own opens with the authorization value.
func (ch *chip) undefine(f *file) error {
	for _, written := range []bool{true, false} {
		h, err := f.register(written)
		if err != nil {
			return err
		}
		_, err = ch.value(f, h)
		if ch.conn.err != nil {
			return err
		}
		if err != nil && !errors.Is(err, tpm2.TPMRCNVUninitialized) {
			continue // there is none, or it is another's
		}
		_, err = tpm2.NVUndefineSpace{
			AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)},
			NVIndex:    tpm2.NamedHandle{Handle: h.TPMHandle, Name: h.name},
		}.Execute(ch.conn)
		if err != nil {
			return fmt.Errorf("keystore: delete the register of a creation that was cut short: %w", err)
		}
		return nil
	}
	return nil
}

// read is the register's value.
func (ch *chip) read(f *file) ([]byte, error) {
	h, err := f.register(true)
	if err != nil {
		return nil, err
	}
	value, err := ch.value(f, h)
	return value, registerError(err)
}

func (ch *chip) value(f *file, h handle) ([]byte, error) {
	size := f.public(true).DataSize
	out, err := tpm2.NVRead{AuthHandle: h.with(ch.out), NVIndex: tpm2.NamedHandle{Handle: h.TPMHandle, Name: h.name}, Size: size}.Execute(ch.conn)
	if err != nil {
		return nil, err
	}
	if len(out.Data.Buffer) != int(size) {
		return nil, fmt.Errorf("%d bytes", len(out.Data.Buffer))
	}
	return out.Data.Buffer, nil
}

// step moves the register forward: it is extended by h, or counts.
func (ch *chip) step(kind Register, at handle, h [32]byte) error {
	if kind == Counter {
		_, err := tpm2.NVIncrement{AuthHandle: at.with(ch.plain), NVIndex: tpm2.NamedHandle{Handle: at.TPMHandle, Name: at.name}}.Execute(ch.conn)
		return registerError(err)
	}
	return registerError(ch.extend(at, h))
}

// registerError names what an owner who took the register away must read.
func registerError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, tpm2.TPMRCHandle):
		return fmt.Errorf("%w: somebody deleted its register; what is in this folder cannot be told from an older copy any more: %w", keystore.ErrGone, err)
	case errors.Is(err, tpm2.TPMRCAuthFail), errors.Is(err, tpm2.TPMRCBadAuth):
		return fmt.Errorf("%w: in the place of its register there is another: %w", keystore.ErrGone, err)
	}
	return fmt.Errorf("keystore: register: %w", err)
}

// extend is TPM2_NV_Extend, which the library does not have: authorization and
// index handle, the session's area, and the data. Source: TPM 2.0 Library, part
// 3, 31.9; part 1, 18 (command and response).
func (ch *chip) extend(at handle, h [32]byte) error {
	parms := tpm2.Marshal(tpm2.TPM2BMaxNVBuffer{Buffer: h[:]})
	names := []tpm2.TPM2BName{at.name, at.name}
	if err := ch.plain.NewNonceCaller(); err != nil {
		return err
	}
	auth, err := ch.plain.Authorize(tpm2.TPMCCNVExtend, parms, nil, names, 0)
	if err != nil {
		return err
	}
	area := tpm2.Marshal(auth)
	cmd := binary.BigEndian.AppendUint16(nil, uint16(tpm2.TPMSTSessions))
	cmd = binary.BigEndian.AppendUint32(cmd, uint32(headerLen+2*4+4+len(area)+len(parms)))                                  //nolint:gosec // some 130 bytes
	for _, v := range []uint32{uint32(tpm2.TPMCCNVExtend), uint32(at.TPMHandle), uint32(at.TPMHandle), uint32(len(area))} { //nolint:gosec // as above
		cmd = binary.BigEndian.AppendUint32(cmd, v)
	}
	rsp, err := ch.conn.Send(append(append(cmd, area...), parms...))
	if err != nil {
		return err
	}
	if rc := tpm2.TPMRC(binary.BigEndian.Uint32(rsp[6:])); rc != tpm2.TPMRCSuccess {
		return rc
	}
	if len(rsp) < headerLen+4 || !bytes.Equal(rsp[headerLen:headerLen+4], make([]byte, 4)) { // no parameters
		return errors.New("response of another shape")
	}
	got, err := tpm2.Unmarshal[tpm2.TPMSAuthResponse](rsp[headerLen+4:])
	if err != nil {
		return err
	}
	return ch.plain.Validate(tpm2.TPMRCSuccess, tpm2.TPMCCNVExtend, nil, names, 0, got)
}

// newIndex is a place for a register, drawn at random: asking which are free
// would not keep them free.
func newIndex() (uint32, error) {
	var b [4]byte
	if _, err := rand.Read(b[1:]); err != nil {
		return 0, fmt.Errorf("keystore: %w", err)
	}
	return firstIndex | binary.BigEndian.Uint32(b[:])&0xfffff, nil
}

// extending is a keystore whose register is extended.
type extending struct{ *Store }

// Anchor is the register's value.
func (s extending) Anchor() (value [32]byte, err error) {
	err = s.do(func(ch *chip) error {
		b, err := ch.read(s.file)
		copy(value[:], b)
		return err
	})
	return value, err
}

// Extend replaces the value by SHA-256(value ‖ h).
func (s extending) Extend(h [32]byte) error { return s.step(h) }

// counting is a keystore whose register counts.
type counting struct{ *Store }

// Count is the register's value.
func (s counting) Count() (n uint64, err error) {
	err = s.do(func(ch *chip) error {
		b, err := ch.read(s.file)
		if err == nil {
			n = binary.BigEndian.Uint64(b)
		}
		return err
	})
	return n, err
}

// Increment adds one.
func (s counting) Increment() error { return s.step([32]byte{}) }

func (s *Store) step(h [32]byte) error {
	at, err := s.file.register(true)
	if err != nil {
		return err
	}
	return s.do(func(ch *chip) error { return ch.step(s.file.Kind, at, h) })
}
