package core

import (
	"cmp"
	"slices"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem"
)

// Connector is an output of the machine as its kernel sees it.
type Connector struct {
	Name       string                // the kernel's, such as "card0-HDMI-A-1"
	Class      license.OutputClass   // anything but the known classes is of unknown capability
	Protection permission.Protection // in force now
	Lit        bool                  // it receives a picture now
}

// unread is the class of outputs that could not be read: what a license asks of
// unknown outputs decides.
const unread license.OutputClass = "UNREAD"

// outputs says what is known about where a picture goes: the output that the ask
// names, and further ones that would receive the same. A module that can read the
// machine's connectors believes the kernel, not its host: every connector that is
// lit may show the picture, since nothing tells which of them does. Without
// connectors, or with none that is lit, a file or pipe of the owner counts as the
// device's own panel, by the host's word.
func (c *Core) outputs(in trem.Ask, est int64) (watched license.Output, others []license.Output) {
	watched = output(in)
	if c.cfg.Outputs == nil || watched.Class == license.OutputLink {
		return watched, nil
	}
	list, err := c.cfg.Outputs()
	if err != nil {
		return watched, []license.Output{{Class: unread, Evidence: license.EvidenceTREM}}
	}
	lit := c.lit(list, est)
	if len(lit) == 0 {
		return watched, nil
	}
	slices.SortStableFunc(lit, func(a, b license.Output) int { return cmp.Compare(a.Protection, b.Protection) })
	i := slices.IndexFunc(lit, func(o license.Output) bool { return o.Class == watched.Class })
	if i < 0 && watched.Class == license.OutputInternal {
		i = 0 // there is no panel: the least protected output is watched
	}
	if i < 0 {
		return watched, lit // such as a renderer, which no connector shows
	}
	return lit[i], slices.Delete(slices.Clone(lit), i, i+1)
}

// lit are the connectors that receive a picture. One that was dark at the last
// look has come up now: its protection takes seconds.
func (c *Core) lit(list []Connector, est int64) (out []license.Output) {
	now := map[string]int64{}
	for _, x := range list {
		if !x.Lit {
			continue
		}
		since, known := c.seenLit[x.Name]
		if !known && c.seenLit != nil {
			since = est
		}
		now[x.Name] = since
		out = append(out, license.Output{Class: x.Class, Protection: x.Protection, Evidence: license.EvidenceTREM, Plugged: since})
	}
	c.seenLit = now
	return out
}

// output says what is known about the output that an ask names. What the module
// cannot name has no protection, which the license's rule for unknown outputs
// decides about. Evidence is the host's word.
func output(in trem.Ask) license.Output {
	if in.Renderer != "" { // what it is shown on is not the host's to say
		return license.Output{Class: license.OutputNetwork, Evidence: license.EvidenceHost}
	}
	switch in.Output {
	case trem.OutputInternal:
		return license.Output{Class: license.OutputInternal, Evidence: license.EvidenceHost}
	case trem.OutputLink:
		if in.Protection > 0 { // behind the link is the browser's word
			return license.Output{Class: license.OutputLink, Protection: in.Protection, Evidence: license.EvidenceHost}
		}
		return license.Output{Class: license.OutputLink, Evidence: license.EvidenceTREM} // the module itself encrypts the link
	}
	return license.Output{Class: license.OutputClass(in.Output), Evidence: license.EvidenceHost}
}

// connectors lists the outputs for the status.
func (c *Core) connectors() (out []trem.Connector) {
	if c.cfg.Outputs == nil {
		return nil
	}
	list, err := c.cfg.Outputs()
	if err != nil {
		return []trem.Connector{{Name: err.Error(), Class: string(unread)}}
	}
	for _, x := range list {
		out = append(out, trem.Connector{Name: x.Name, Class: string(x.Class), Protection: x.Protection.String(), Lit: x.Lit})
	}
	return out
}
