package packager

import (
	"fmt"

	"github.com/Eyevinn/mp4ff/av1"
	"github.com/Eyevinn/mp4ff/hevc"
	"github.com/Eyevinn/mp4ff/mp4"
)

// audioCodec is the RFC 6381 name of an audio track's codec, "mp4a" for what its
// esds box has yet to say, or "" when this package does not pack it.
func audioCodec(e *mp4.AudioSampleEntryBox) string {
	switch e.Type() {
	case "mp4a", "ac-3", "ec-3":
		return e.Type()
	case "Opus":
		return "opus"
	case "fLaC":
		return "flac"
	}
	return ""
}

// videoCodec is the RFC 6381 name of a video track's codec, or "" when this
// package does not pack it.
func videoCodec(e *mp4.VisualSampleEntryBox) string {
	switch e.Type() {
	case "avc1", "avc3":
		if c := e.AvcC; c != nil {
			return fmt.Sprintf("%s.%02x%02x%02x", e.Type(), c.AVCProfileIndication, c.ProfileCompatibility, c.AVCLevelIndication)
		}
	case "hvc1", "hev1":
		if e.HvcC == nil {
			return ""
		}
		for _, nalu := range e.HvcC.GetNalusForType(hevc.NALU_SPS) {
			if sps, err := hevc.ParseSPSNALUnit(nalu); err == nil {
				return hevc.CodecString(e.Type(), sps)
			}
		}
	case "av01":
		if e.Av1C == nil {
			return ""
		}
		if sh, err := e.Av1C.SequenceHeader(); err == nil {
			return av1.CodecString(e.Type(), sh)
		}
	case "vp09":
		if c := e.VppC; c != nil {
			return fmt.Sprintf("vp09.%02d.%02d.%02d", c.Profile, c.Level, c.BitDepth)
		}
	}
	return ""
}
