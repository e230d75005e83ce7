//go:build !purego

#include "textflag.h"

// func cpuHasAES() bool
TEXT ·cpuHasAES(SB), NOSPLIT, $0-1
	MOVL $1, AX
	XORL CX, CX
	CPUID
	SHRL $25, CX
	ANDL $1, CX
	MOVB CX, ret+0(FP)
	RET

// NEXT makes the next round key in X0 and puts it where decryption needs it:
// the last round key of encryption comes first, all but the outer two through
// AESIMC (the equivalent inverse cipher, FIPS 197, 5.3.5).
#define NEXT(rcon) \
	AESKEYGENASSIST $rcon, X0, X1; \
	PSHUFD $0xff, X1, X1; \
	MOVO X0, X2; \
	PSLLO $4, X2; \
	PXOR X2, X0; \
	PSLLO $4, X2; \
	PXOR X2, X0; \
	PSLLO $4, X2; \
	PXOR X2, X0; \
	PXOR X1, X0

#define STORE(at) \
	AESIMC X0, X3; \
	MOVUPS X3, at(BX)

// func expandDecrypt(key *[16]byte, keys *[11][16]byte)
TEXT ·expandDecrypt(SB), NOSPLIT, $0-16
	MOVQ key+0(FP), AX
	MOVQ keys+8(FP), BX
	MOVUPS (AX), X0
	MOVUPS X0, 160(BX)
	NEXT(0x01)
	STORE(144)
	NEXT(0x02)
	STORE(128)
	NEXT(0x04)
	STORE(112)
	NEXT(0x08)
	STORE(96)
	NEXT(0x10)
	STORE(80)
	NEXT(0x20)
	STORE(64)
	NEXT(0x40)
	STORE(48)
	NEXT(0x80)
	STORE(32)
	NEXT(0x1b)
	STORE(16)
	NEXT(0x36)
	MOVUPS X0, (BX)
	PXOR X0, X0
	PXOR X1, X1
	PXOR X2, X2
	PXOR X3, X3
	RET

// ROUND8 takes one round of eight blocks, which do not wait for each other.
#define ROUND8(at) \
	MOVUPS at(AX), X8; \
	AESDEC X8, X0; \
	AESDEC X8, X1; \
	AESDEC X8, X2; \
	AESDEC X8, X3; \
	AESDEC X8, X4; \
	AESDEC X8, X5; \
	AESDEC X8, X6; \
	AESDEC X8, X7

// BEFORE takes the block of ciphertext before it out of a block.
#define BEFORE(at, x) \
	MOVUPS at(BX), X8; \
	PXOR X8, x

// func decryptCBC(keys *[11][16]byte, iv *[16]byte, data *byte, blocks int)
TEXT ·decryptCBC(SB), NOSPLIT, $0-32
	MOVQ keys+0(FP), AX
	MOVQ iv+8(FP), DX
	MOVQ data+16(FP), BX
	MOVQ blocks+24(FP), CX
	MOVUPS (DX), X9

eight:
	CMPQ CX, $8
	JL one
	MOVUPS (AX), X8
	MOVUPS (BX), X0
	MOVUPS 16(BX), X1
	MOVUPS 32(BX), X2
	MOVUPS 48(BX), X3
	MOVUPS 64(BX), X4
	MOVUPS 80(BX), X5
	MOVUPS 96(BX), X6
	MOVUPS 112(BX), X7
	MOVO X7, X10
	PXOR X8, X0
	PXOR X8, X1
	PXOR X8, X2
	PXOR X8, X3
	PXOR X8, X4
	PXOR X8, X5
	PXOR X8, X6
	PXOR X8, X7
	ROUND8(16)
	ROUND8(32)
	ROUND8(48)
	ROUND8(64)
	ROUND8(80)
	ROUND8(96)
	ROUND8(112)
	ROUND8(128)
	ROUND8(144)
	MOVUPS 160(AX), X8
	AESDECLAST X8, X0
	AESDECLAST X8, X1
	AESDECLAST X8, X2
	AESDECLAST X8, X3
	AESDECLAST X8, X4
	AESDECLAST X8, X5
	AESDECLAST X8, X6
	AESDECLAST X8, X7
	PXOR X9, X0
	BEFORE(0, X1)
	BEFORE(16, X2)
	BEFORE(32, X3)
	BEFORE(48, X4)
	BEFORE(64, X5)
	BEFORE(80, X6)
	BEFORE(96, X7)
	MOVUPS X0, (BX)
	MOVUPS X1, 16(BX)
	MOVUPS X2, 32(BX)
	MOVUPS X3, 48(BX)
	MOVUPS X4, 64(BX)
	MOVUPS X5, 80(BX)
	MOVUPS X6, 96(BX)
	MOVUPS X7, 112(BX)
	MOVO X10, X9
	ADDQ $128, BX
	SUBQ $8, CX
	JMP eight

one:
	CMPQ CX, $1
	JL done
	MOVUPS (BX), X0
	MOVO X0, X10
	MOVUPS (AX), X8
	PXOR X8, X0
	MOVUPS 16(AX), X8
	AESDEC X8, X0
	MOVUPS 32(AX), X8
	AESDEC X8, X0
	MOVUPS 48(AX), X8
	AESDEC X8, X0
	MOVUPS 64(AX), X8
	AESDEC X8, X0
	MOVUPS 80(AX), X8
	AESDEC X8, X0
	MOVUPS 96(AX), X8
	AESDEC X8, X0
	MOVUPS 112(AX), X8
	AESDEC X8, X0
	MOVUPS 128(AX), X8
	AESDEC X8, X0
	MOVUPS 144(AX), X8
	AESDEC X8, X0
	MOVUPS 160(AX), X8
	AESDECLAST X8, X0
	PXOR X9, X0
	MOVUPS X0, (BX)
	MOVO X10, X9
	ADDQ $16, BX
	SUBQ $1, CX
	JMP one

done:
	MOVUPS X9, (DX)
	PXOR X8, X8
	RET
