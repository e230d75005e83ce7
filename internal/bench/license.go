package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// Bars of the license bench. Source: local (docs/performance.md).
const (
	maxEvaluate      = 2   // µs CPU of a typical decision
	maxCode          = 2   // µs CPU of reading or writing a permission code
	maxRental        = 600 // bytes of a rental with four tiers
	maxEvaluateAlloc = 0   // where the caller reuses the decision
)

func licenseBench() Bench {
	return Bench{Name: "license", Short: "Decide about a rental, and read and write what it stands in", Run: runLicense}
}

func runLicense(ctx context.Context, cfg Config) ([]Row, error) {
	k, err := newLicenseKernels()
	if err != nil {
		return nil, err
	}
	rows := []Row{AtMost("license: bytes of a rental with four tiers", float64(k.bytes), unitBytes, maxRental)}
	for _, x := range []struct {
		kernel Kernel
		row    func(v float64) Row
	}{
		{k.typical, func(v float64) Row { return AtMost("evaluate: allocations", v, unitAllocs, maxEvaluateAlloc) }},
		{k.encode, func(v float64) Row { return Plain("permission code: encode, allocations", v, unitAllocs) }},
		{k.decode, func(v float64) Row { return Plain("permission code: decode, allocations", v, unitAllocs) }},
	} {
		n, err := Allocs(cfg, x.kernel)
		if err != nil {
			return nil, err
		}
		rows = append(rows, x.row(n))
	}
	t, err := CPU(ctx, cfg, k.typical, k.refused, k.worst, k.session, k.encode, k.decode, k.parse, k.narrower)
	if err != nil {
		return nil, err
	}
	return append(rows,
		AtMost("evaluate: typical rental", micros(t[0]), unitMicros, maxEvaluate),
		Plain("evaluate: refused rental, all reasons", micros(t[1]), unitMicros),
		Plain("evaluate: worst case of 32 keys", micros(t[2]), unitMicros),
		Plain("begin, extend, end of a rental", micros(t[3]), unitMicros),
		AtMost("permission code: encode", micros(t[4]), unitMicros, maxCode),
		AtMost("permission code: decode", micros(t[5]), unitMicros, maxCode),
		Plain("license: parse", micros(t[6]), unitMicros),
		Plain("narrower: child against parent", micros(t[7]), unitMicros),
	), nil
}

// licenseKernels are what the rows measure, here and in the Go benchmarks.
type licenseKernels struct {
	bytes int // of the rental

	typical  Kernel // the decision about the second evening, allowed
	refused  Kernel // the same rental where nothing is right
	worst    Kernel // every key refused for several reasons
	session  Kernel // the second evening's first fragment, from Begin to End
	encode   Kernel // the rental's permission code
	decode   Kernel
	parse    Kernel // the rental's bytes, without its signature, which Verify checks
	narrower Kernel // the allowance of a device against the rental
}

func newLicenseKernels() (*licenseKernels, error) {
	lic, err := rental()
	if err != nil {
		return nil, fmt.Errorf("make rental: %w", err)
	}
	typical, err := secondEvening(lic)
	if err != nil {
		return nil, err
	}
	refused, err := everythingWrong(lic, typical)
	if err != nil {
		return nil, err
	}
	many, worst, err := manyKeys()
	if err != nil {
		return nil, fmt.Errorf("make license of many keys: %w", err)
	}
	child, err := license.Derive(lic, license.Derivation{Device: ident.Device{1}, Plays: 1, Now: typical.Clock.Est, State: typical.State})
	if err != nil {
		return nil, err
	}
	return &licenseKernels{
		bytes:    len(lic.Bytes()),
		typical:  evaluateKernel(lic, &typical, true),
		refused:  evaluateKernel(lic, &refused, false),
		worst:    evaluateKernel(many, &worst, false),
		session:  sessionKernel(lic, typical),
		encode:   encodeKernel(lic.Units()),
		decode:   decodeKernel(lic.Info().Code),
		parse:    parseKernel(lic.Bytes()),
		narrower: narrowerKernel(child, lic.Info()),
	}, nil
}

var errAllowed = errors.New("allowed what must be refused")

// evaluateKernel decides into one decision, as a module does that plays.
func evaluateKernel(lic *license.License, in *license.Input, allow bool) Kernel {
	d := new(license.Decision)
	return func(n int) error {
		for range n {
			license.Evaluate(lic, in, d)
		}
		switch {
		case d.Allow && !allow:
			return errAllowed
		case !d.Allow && allow:
			return refusal(d)
		}
		return nil
	}
}

func sessionKernel(lic *license.License, start license.Input) Kernel {
	return func(n int) error {
		for range n {
			in := start
			step := lic.Begin(in)
			if !step.Decision.Allow {
				return refusal(&step.Decision)
			}
			in.State = step.State
			step = lic.Extend(step.Session, in, fragment(0))
			if !step.Decision.Allow {
				return refusal(&step.Decision)
			}
			in.State = step.State
			if step = lic.End(step.Session, in, 2*msSecond); !step.Commit {
				return errors.New("the end of a counted use commits nothing")
			}
		}
		return nil
	}
}

func encodeKernel(u *permission.Units) Kernel {
	return func(n int) error {
		for range n {
			if _, err := u.Encode(); err != nil {
				return err
			}
		}
		return nil
	}
}

func decodeKernel(c permission.Code) Kernel {
	return func(n int) error {
		for range n {
			if _, err := permission.Parse(c); err != nil {
				return err
			}
		}
		return nil
	}
}

func parseKernel(data []byte) Kernel {
	return func(n int) error {
		for range n {
			if _, err := license.Parse(data); err != nil {
				return err
			}
		}
		return nil
	}
}

func narrowerKernel(child, parent *license.Info) Kernel {
	return func(n int) error {
		for range n {
			if err := license.Narrower(child, parent); err != nil {
				return err
			}
		}
		return nil
	}
}
