package core

import (
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/security/trem"
)

// output says what is known about the output that an ask names. This module
// reads no connector: a file or pipe of the owner counts as the device's own
// panel, and what the module cannot name has no protection, which the license's
// rule for unknown outputs decides about. Evidence is the host's word.
func output(name string) license.Output {
	switch name {
	case trem.OutputInternal:
		return license.Output{Class: license.OutputInternal, Evidence: license.EvidenceHost}
	case trem.OutputLink:
		return license.Output{Class: license.OutputLink, Evidence: license.EvidenceTREM} // the module itself encrypts the link
	}
	return license.Output{Class: license.OutputClass(name), Evidence: license.EvidenceHost}
}
