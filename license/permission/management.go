package permission

import "math"

// Items of the data management condition unit. Source: the subject of the
// unit is of IEC 62227 (copy control, move, transcoding, encryption, timeline);
// items, numbers and values are local.
const (
	itemCopyMode   uint8 = 0x01
	itemCopyCount  uint8 = 0x02
	itemGeneration uint8 = 0x03
	itemMove       uint8 = 0x04
	itemTransfer   uint8 = 0x05
	itemTranscode  uint8 = 0x06
	itemEncryption uint8 = 0x07
	itemTimeline   uint8 = 0x08
)

// CopyMode says whether and how copies may be made (evaluator E8).
type CopyMode uint8

// The copy modes; absent means that COPY is not granted.
const (
	CopyAbsent  CopyMode = 0
	CopyFree    CopyMode = 1
	CopyCounted CopyMode = 2
	CopyOnce    CopyMode = 3
	CopyNoMore  CopyMode = 4
	CopyNever   CopyMode = 5
)

func (m CopyMode) grants() bool { return m == CopyFree || m == CopyCounted || m == CopyOnce }

// MoveScope says where an instance may move.
type MoveScope uint8

// The scopes of MOVE.
const (
	MoveNone   MoveScope = 0
	MoveDomain MoveScope = 1 // between the devices of one domain
	MoveAny    MoveScope = 2
)

// Transcoding says whether the content may be converted to another format or
// picture size. Source: IEC 62227 names the subject; the values are local.
type Transcoding uint8

// The ways to transcode; absent means that the code says nothing.
const (
	TranscodeAbsent Transcoding = 0
	TranscodeDeny   Transcoding = 1
	TranscodeLower  Transcoding = 2 // only to smaller pictures
	TranscodeFree   Transcoding = 3
)

// Encryption says whether what leaves the system stays protected. Source: IEC
// 62227 names the subject; the values are local.
type Encryption uint8

// The kinds of protection; absent means that the code says nothing.
const (
	EncryptionAbsent  Encryption = 0
	EncryptionKeep    Encryption = 1 // what leaves stays protected
	EncryptionRelease Encryption = 2 // what leaves may be in the clear
)

// Timeline says whether a player may jump over parts of the content. Source:
// IEC 62227 names the subject; the values are local.
type Timeline uint8

// The rules of the timeline; absent means that the code says nothing.
const (
	TimelineAbsent Timeline = 0
	TimelineNoSkip Timeline = 1 // what has not been seen is not skipped
	TimelineFree   Timeline = 2
)

// String is the keyword of the text form, such as LOWER; NONE for absent.
func (t Transcoding) String() string { return valueWord(TagManagement, itemTranscode, uint8(t)) }

// String is the keyword of the text form, such as KEEP; NONE for absent.
func (e Encryption) String() string { return valueWord(TagManagement, itemEncryption, uint8(e)) }

// String is the keyword of the text form, such as NO_SKIP; NONE for absent.
func (t Timeline) String() string { return valueWord(TagManagement, itemTimeline, uint8(t)) }

// ManagementUnit is the data management condition. 0 means absent. Transcode,
// Encryption and Timeline restrict what other units grant, and grant nothing.
type ManagementUnit struct {
	Copy          CopyMode
	CopyCount     uint64 // COPY_COUNT; with CopyCounted only
	MaxGeneration uint64 // 0 = 1
	Move          MoveScope
	Transfer      uint64 // how often the subject may change
	Transcode     Transcoding
	Encryption    Encryption
	Timeline      Timeline
	Extra         []Item
}

func (m *ManagementUnit) code(c *coder) {
	c.begin(TagManagement, m.Extra)
	c.code(itemCopyMode, (*uint8)(&m.Copy), uint8(CopyNever))
	c.num(itemCopyCount, &m.CopyCount, math.MaxUint32)
	if counted := m.Copy == CopyCounted; counted != (m.CopyCount != 0) {
		c.fail(itemCopyCount, "stands with COPY=COUNTED, and only with it")
	}
	c.num(itemGeneration, &m.MaxGeneration, math.MaxUint8)
	c.code(itemMove, (*uint8)(&m.Move), uint8(MoveAny))
	c.num(itemTransfer, &m.Transfer, math.MaxUint32)
	c.code(itemTranscode, (*uint8)(&m.Transcode), uint8(TranscodeFree))
	c.code(itemEncryption, (*uint8)(&m.Encryption), uint8(EncryptionRelease))
	c.code(itemTimeline, (*uint8)(&m.Timeline), uint8(TimelineFree))
	c.end(&m.Extra)
}
