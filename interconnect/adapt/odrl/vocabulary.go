package odrl

import "strings"

// Names of the vocabulary. Source: ODRL Vocabulary & Expression 2.2.
const (
	Context   = "http://www.w3.org/ns/odrl.jsonld"
	Namespace = "http://www.w3.org/ns/odrl/2/"
	// Profile names the operands that ODRL does not have: maxPixels
	// and outputProtection. A processor that does not know a policy's
	// profile must not use the policy (Information Model, profile mechanism),
	// so nothing is lost without a word. Source: local, docs/spec/odrl.md.
	Profile = "urn:uuid:5b0c6f9e-6d0b-4c39-9a35-1f6a2f0e8c11"
)

// local gives the name of an ODRL term in any of its spellings (term, odrl:term,
// the whole IRI), and of our profile's operands with a leading '#'. Other names
// stay as they are.
func local(name string) string {
	for _, prefix := range []string{Namespace, "odrl:"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			return rest
		}
	}
	return strings.TrimPrefix(name, Profile)
}

// actions that grant something here, or that touch what does.
const (
	actUse       = "use"
	actPlay      = "play"
	actPrint     = "print"
	actReproduce = "reproduce"
	actMove      = "move"
	actLend      = "lend"
	actTransfer  = "transfer"
)

// touched says which of our actions a prohibition of an action takes away. An
// action that is part of one that we grant takes it all away. Source: the
// includedIn relations of ODRL Vocabulary & Expression 2.2, read narrowly.
func touched(prohibited string) []string {
	switch prohibited {
	case actUse:
		return []string{actUse, actPlay, actPrint, actReproduce, actMove, actLend}
	case actPlay, "display", "present", "stream", "execute", "read", "textToSpeech":
		return []string{actUse, actPlay}
	case actPrint:
		return []string{actPrint}
	case actReproduce, "copy", "digitize", "extract":
		return []string{actReproduce}
	case actMove:
		return []string{actMove}
	case actLend, "lease":
		return []string{actLend}
	case actTransfer, "sell", "give":
		return []string{actTransfer}
	}
	if harmless(prohibited) {
		return nil
	}
	return []string{actUse, actPlay, actPrint, actReproduce, actMove, actLend, actTransfer} // unknown: it may mean anything
}

// harmless actions are of the vocabulary and take nothing away that is granted
// here: what Lares grants never includes them.
func harmless(action string) bool {
	switch action {
	case "acceptTracking", "aggregate", "annotate", "anonymize", "archive", "attribute", "compensate", "concurrentUse", "delete", "derive", "distribute", "ensureExclusivity",
		"grantUse", "include", "index", "inform", "install", "modify", "nextPolicy", "obtainConsent", "reviewPolicy", "synchronize", "transform", "translate", "uninstall", "watermark",
		"export", "writeTo", "append", "appendTo", "ad", "attachPolicy", "attachSource", "commercialize", "license", "secondaryUse", "shareAlike", "write",
		"Attribution", "DerivativeWorks", "Distribution", "Notice", "ShareAlike", "SourceCode":
		return true
	}
	return false
}
