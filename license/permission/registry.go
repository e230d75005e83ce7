package permission

import (
	"fmt"
	"slices"
)

// Origin says where a number of the code comes from.
type Origin string

// The origins. A standard row's meaning and tag are published facts about IEC
// 62227; everything else is this project's choice.
const (
	Standard Origin = "standard"
	Local    Origin = "local"
)

// Row is one number of the code registry: a unit (Item 0, Value 0), an item of
// a unit, or a value of an item. Name is its keyword in the text form.
type Row struct {
	Unit   uint8
	Item   uint8
	Value  uint8
	Name   string
	Origin Origin
}

// profile is what a profile number stands for: how lengths are written, and
// the registry of the numbers.
type profile struct {
	number  uint8
	lengths lengths
	rows    []Row
}

var profiles = []profile{{Profile1, shortLong, registry1}}

// profileOf finds a profile; one with an unknown number has no rows.
func profileOf(number uint8) (profile, bool) {
	for _, p := range profiles {
		if p.number == number {
			return p, true
		}
	}
	return profile{}, false
}

// Profiles lists the profile numbers that have a registry, in their order.
func Profiles() []uint8 {
	var out []uint8
	for _, p := range profiles {
		out = append(out, p.number)
	}
	return out
}

// Registry lists every number of a profile that has a name; nil for a profile
// that does not exist.
func Registry(profile uint8) []Row {
	p, _ := profileOf(profile)
	return slices.Clone(p.rows)
}

// registry1 is the registry of Profile1. The text form and the errors speak its
// words: there is no other profile yet.
var registry1 = []Row{
	{TagVersion, 0, 0, "VERSION", Standard},
	{TagActor, 0, 0, "ACTOR", Standard},
	{TagActor, itemContent, 0, "CONTENT", Local},
	{TagActor, itemIssuer, 0, "ISSUER", Local},
	{TagActor, itemReceiver, 0, "RECEIVER", Local},
	{TagActor, itemReceiver, uint8(ReceiverDomain), "domain", Local},
	{TagActor, itemReceiver, uint8(ReceiverDevice), "device", Local},
	{TagActor, itemReceiver, uint8(ReceiverUser), "user", Local},
	{TagClassification, 0, 0, "CLASSIFICATION", Standard},
	{TagClassification, itemDisclosure, 0, "DISCLOSURE", Local},
	{TagClassification, itemDisclosure, 1, "PUBLIC", Local},
	{TagClassification, itemDisclosure, 2, "HOUSEHOLD", Local},
	{TagClassification, itemDisclosure, 3, "PRIVATE", Local},
	{TagClassification, itemPurpose, 0, "PURPOSE", Local},
	{TagClassification, itemPurpose, 1, "PERSONAL", Local},
	{TagClassification, itemPurpose, 2, "EDUCATION", Local},
	{TagClassification, itemPurpose, 3, "PERFORMANCE", Local},
	{TagClassification, itemPurpose, 4, "REVIEW", Local},
	{TagClassification, itemPurpose, 5, "PREVIEW", Local},
	{TagClassification, itemCharge, 0, "CHARGE", Local},
	{TagClassification, itemCharge, uint8(ChargePurchase), "PURCHASE", Local},
	{TagClassification, itemCharge, uint8(ChargeRental), "RENTAL", Local},
	{TagClassification, itemCharge, uint8(ChargeSubscription), "SUBSCRIPTION", Local},
	{TagClassification, itemCharge, uint8(ChargeLoan), "LOAN", Local},
	{TagClassification, itemCharge, uint8(ChargeFree), "FREE", Local},
	{TagClassification, itemCharge, uint8(ChargeAdvertising), "ADVERTISING", Local},
	{TagClassification, itemCharge, uint8(ChargePoints), "POINTS", Local},
	{TagClassification, itemCharge, uint8(ChargeGift), "GIFT", Local},
	{TagClassification, itemBilling, 0, "BILLING", Local},
	{TagClassification, itemBilling, 1, "ONCE", Local},
	{TagClassification, itemBilling, 2, "PER_USE", Local},
	{TagClassification, itemBilling, 3, "PERIODIC", Local},
	{TagClassification, itemApplication, 0, "APPLICATION", Local},
	{TagClassification, itemApplication, 1, "VIDEO", Local},
	{TagClassification, itemApplication, 2, "MUSIC", Local},
	{TagClassification, itemApplication, 3, "BOOK", Local},
	{TagClassification, itemApplication, 4, "GAME", Local},
	{TagClassification, itemApplication, 5, "RINGTONE", Local},
	{TagClassification, itemApplication, 6, "DATA", Local},
	{TagClassification, itemSponsor, 0, "SPONSOR", Local},
	{TagClassification, itemTerritory, 0, "TERRITORY", Local},
	{TagClassification, itemUsageClass, 0, "USAGE_CLASS", Local},
	{TagClassification, itemUsageClass, 1, "FINITE", Local},
	{TagClassification, itemUsageClass, UsageClassLive, "LIVE", Local},
	{TagPlayback, 0, 0, "PLAY", Local},
	{TagPrint, 0, 0, "RENDER", Local},
	{TagExecute, 0, 0, "EXECUTE", Local},
	{TagPlayback, itemStartTime, 0, "START_TIME", Local},
	{TagPlayback, itemEndTime, 0, "END_TIME", Local},
	{TagPlayback, itemInterval, 0, "INTERVAL", Local},
	{TagPlayback, itemPlayCount, 0, "PLAY_COUNT", Local},
	{TagPlayback, itemResolution, 0, "RESOLUTION", Local},
	{TagPlayback, itemOutput, 0, "OUTPUT_PROTECTION", Local},
	{TagPlayback, itemOutput, uint8(ProtectHDCP1), "HDCP_1", Local},
	{TagPlayback, itemOutput, uint8(ProtectHDCP22), "HDCP_2_2", Local},
	{TagPlayback, itemOutput, uint8(ProtectHDCPT1), "HDCP_2_2_T1", Local},
	{TagPlayback, itemOutput, uint8(ProtectHDCP23), "HDCP_2_3", Local},
	{TagPlayback, itemAccumulated, 0, "ACCUMULATED", Local},
	{TagPlayback, itemPart, 0, "PART", Local},
	{TagLend, 0, 0, "LEND", Local},
	{TagLend, itemLendDuration, 0, "LEND_TIME", Local},
	{TagLend, itemLendCount, 0, "LEND_COUNT", Local},
	{TagManagement, 0, 0, "MANAGEMENT", Standard},
	{TagManagement, itemCopyMode, 0, "COPY", Local},
	{TagManagement, itemCopyMode, uint8(CopyFree), "FREE", Local},
	{TagManagement, itemCopyMode, uint8(CopyCounted), "COUNTED", Local},
	{TagManagement, itemCopyMode, uint8(CopyOnce), "ONCE", Local},
	{TagManagement, itemCopyMode, uint8(CopyNoMore), "NO_MORE", Local},
	{TagManagement, itemCopyMode, uint8(CopyNever), "NEVER", Local},
	{TagManagement, itemCopyCount, 0, "COPY_COUNT", Local},
	{TagManagement, itemGeneration, 0, "MAX_GENERATION", Local},
	{TagManagement, itemMove, 0, "MOVE", Local},
	{TagManagement, itemMove, uint8(MoveDomain), "DOMAIN", Local},
	{TagManagement, itemMove, uint8(MoveAny), "ANY", Local},
	{TagManagement, itemTransfer, 0, "TRANSFER", Local},
	{TagManagement, itemTranscode, 0, "TRANSCODE", Local},
	{TagManagement, itemTranscode, uint8(TranscodeDeny), "DENY", Local},
	{TagManagement, itemTranscode, uint8(TranscodeLower), "LOWER", Local},
	{TagManagement, itemTranscode, uint8(TranscodeFree), "FREE", Local},
	{TagManagement, itemEncryption, 0, "ENCRYPTION", Local},
	{TagManagement, itemEncryption, uint8(EncryptionKeep), "KEEP", Local},
	{TagManagement, itemEncryption, uint8(EncryptionRelease), "RELEASE", Local},
	{TagManagement, itemTimeline, 0, "TIMELINE", Local},
	{TagManagement, itemTimeline, uint8(TimelineNoSkip), "NO_SKIP", Local},
	{TagManagement, itemTimeline, uint8(TimelineFree), "FREE", Local},
	{TagExport, 0, 0, "DATA_EXPORT", Standard},
	{TagExport, itemSystem, 0, "EXPORT", Local},
}

// valueName gives the name of an item's value, or "" when it has none.
func valueName(unit, item, value uint8) string {
	for _, r := range registry1 {
		if r.Unit == unit && r.Item == item && r.Value == value && value != 0 {
			return r.Name
		}
	}
	return ""
}

// valueWord is valueName for String: NONE for absent, digits without a name.
func valueWord(unit, item, value uint8) string {
	if value == 0 {
		return "NONE"
	}
	if name := valueName(unit, item, value); name != "" {
		return name
	}
	return fmt.Sprint(value)
}

// unitName names a unit for errors: by its keyword, or by its tag.
func unitName(unit uint8) string {
	for _, r := range registry1 {
		if r.Unit == unit && r.Item == 0 && r.Value == 0 {
			return r.Name
		}
	}
	return fmt.Sprintf("unit 0x%02x", unit)
}

// itemName names an item for errors: by its keyword, or by its tag.
func itemName(unit, item uint8) string {
	if UsageKind(unit).word() != "" {
		unit = TagPlayback // whose items the other usage units share
	}
	for _, r := range registry1 {
		if r.Unit == unit && r.Item == item && item != 0 && r.Value == 0 {
			return r.Name
		}
	}
	return fmt.Sprintf("item 0x%02x", item)
}

// valueOf is the inverse of valueName; 0 means that there is no such name.
func valueOf(unit, item uint8, name string) uint8 {
	for _, r := range registry1 {
		if r.Unit == unit && r.Item == item && r.Value != 0 && r.Name == name {
			return r.Value
		}
	}
	return 0
}
