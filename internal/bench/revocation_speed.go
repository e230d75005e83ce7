package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/revocation"
)

var errStanding = errors.New("a state says something else than it was told")

// stateServing holds the state of 1 M revoked of 100 M and serves from it, as a
// home server does, and looks at the memory of the process after each answer.
func stateServing(ctx context.Context, cfg Config, d *stateDomain) ([]Row, error) {
	s, delta, members, err := d.served(cfg)
	if err != nil {
		return nil, err
	}
	debug.FreeOSMemory() // what making the population left
	most, rounds := 0.0, 24
	if cfg.Quick {
		rounds = 3
	}
	for i := range rounds {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		next, err := s.Apply(delta, d.today.Bytes(), &pki.Verifier{Trust: d.trust}, d.chain, d.now)
		if err != nil {
			return nil, err
		}
		if _, err := next.Delta(s); err != nil {
			return nil, err
		}
		if _, err := next.Proof(members[i%len(members)]...); err != nil {
			return nil, err
		}
		next.Snapshot()
		used, err := resident()
		if err != nil {
			return nil, err
		}
		most = max(most, used)
	}
	return []Row{AtMost("serve the state of 1 M of 100 M: memory of the process, most", share(most), unitMegabytes, maxServing)}, nil
}

// served makes the state, the step to the day after, and members to prove. The
// population is gone when it returns.
func (d *stateDomain) served(cfg Config) (*revocation.State, []byte, [][]pki.Member, error) {
	f := cfg.largest()
	first, today, err := d.states(f)
	if err != nil {
		return nil, nil, nil, err
	}
	delta, err := today.Delta(first)
	if err != nil {
		return nil, nil, nil, err
	}
	d.today = today.Head()
	s, err := revocation.ParseSnapshot(first.Snapshot(), first.Head().Bytes(), &pki.Verifier{Trust: d.trust}, d.chain, d.now)
	return s, delta, f.parties(64), err
}

// resident is how much memory of this process is in RAM, in MB.
func resident() (float64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, fmt.Errorf("read memory of the process: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024, err
		}
	}
	return 0, errors.New("the system does not tell the memory of a process")
}

// parties draws devices in good standing, each with the CAs above it.
func (f *fleet) parties(n int) (out [][]pki.Member) {
	rnd := mathrand.New(mathrand.NewPCG(fleetSeed, 4)) //nolint:gosec // reproducible
	for len(out) < n {
		m := f.draw(rnd)
		maker := m.Class / fleetFirst * fleetFirst
		out = append(out, []pki.Member{m, {Class: maker, Index: uint32(m.Class - maker)}, {Class: 0, Index: uint32(maker / fleetFirst)}})
	}
	return out
}

// draw draws a device in good standing, large classes more often.
func (f *fleet) draw(rnd *mathrand.Rand) pki.Member {
	for {
		c, at := f.device(rnd.IntN(f.devices))
		if !c.isRevoked(at) {
			return pki.Member{Class: c.id, Index: at}
		}
	}
}

// stateSpeed measures what a server and a verifier do.
func stateSpeed(ctx context.Context, cfg Config, d *stateDomain) (rows []Row, err error) {
	f := cfg.largest()
	build := func(n int) error {
		for range n {
			if _, err := d.build(f); err != nil {
				return err
			}
		}
		return nil
	}
	kernels := []Kernel{build}
	state, err := d.build(f)
	if err != nil {
		return nil, err
	}
	standing, revoked := f.lookups()
	kernels = append(kernels, lookup(state, standing, nil), lookup(state, revoked, pki.ErrRevoked))
	var bytes []Row
	for _, kind := range fleetKinds()[:3] {
		f := cfg.fleet("100 M", 100e6, kind)
		s, err := d.build(f)
		if err != nil {
			return nil, err
		}
		k, size, err := proofs(s, f.parties(256))
		if err != nil {
			return nil, err
		}
		kernels = append(kernels, k)
		bytes = append(bytes, Plain("stapled proof, 100 M, "+kind.name+": bytes, median", size, unitBytes))
	}
	t, err := CPU(ctx, cfg, kernels...)
	if err != nil {
		return nil, err
	}
	rows = append(bytes,
		AtMost("build 1 M of 100 M: lists to signed state and snapshot", share(t[0]/1e6), unitMillis, maxBuild),
		AtMost("lookup, 1 M of 100 M: device in good standing", share(t[1]), unitNanos, maxLookup),
		AtMost("lookup, 1 M of 100 M: revoked device", share(t[2]), unitNanos, maxLookup),
	)
	for i, kind := range fleetKinds()[:3] {
		rows = append(rows, AtMost("stapled proof, 100 M, "+kind.name+": verify after the head", micros(t[3+i]), unitMicros, maxProof))
	}
	return rows, nil
}

// build makes a fleet's state and its snapshot from lists of indexes.
func (d *stateDomain) build(f *fleet) (*revocation.State, error) {
	b, err := d.builder(f)
	if err != nil {
		return nil, err
	}
	for i := range f.classes {
		if err := b.RevokeDevices(f.classes[i].id, f.classes[i].revoked); err != nil {
			return nil, err
		}
	}
	s, err := d.sign(b, 2)
	if err == nil {
		s.Snapshot()
	}
	return s, err
}

// lookups draws members to look up, in an order that no cache foresees.
func (f *fleet) lookups() (standing, revoked []pki.Member) {
	rnd := mathrand.New(mathrand.NewPCG(fleetSeed, 5)) //nolint:gosec // reproducible
	const n = 1 << 14
	for len(standing) < n {
		standing = append(standing, f.draw(rnd))
	}
	for len(revoked) < n {
		c, _ := f.device(rnd.IntN(f.devices))
		if len(c.revoked) > 0 {
			revoked = append(revoked, pki.Member{Class: c.id, Index: c.revoked[rnd.IntN(len(c.revoked))]})
		}
	}
	return standing, revoked
}

func lookup(s *revocation.State, members []pki.Member, want error) Kernel {
	at := 0
	return func(n int) error {
		for range n {
			m := members[at%len(members)]
			at++
			if err := s.Check(m.Class, m.Index, 9); err != want && !errors.Is(err, want) { //nolint:errorlint // most are nil: the quick way first
				return fmt.Errorf("%w: %w", errStanding, err)
			}
		}
		return nil
	}
}

// proofs verifies stapled proofs of devices and the CAs above them, in turn.
func proofs(s *revocation.State, parties [][]pki.Member) (Kernel, float64, error) {
	var all [][]byte
	var sizes []float64
	for _, m := range parties {
		p, err := s.Proof(m...)
		if err != nil {
			return nil, 0, err
		}
		all, sizes = append(all, p), append(sizes, float64(len(p)))
	}
	at := 0
	return func(n int) error {
		for range n {
			i := at % len(all)
			at++
			p, err := revocation.OpenProof(all[i], s.Trusted())
			if err != nil {
				return err
			}
			for _, m := range parties[i] {
				if err := p.Check(m.Class, m.Index, 9); err != nil {
					return err
				}
			}
		}
		return nil
	}, median(sizes), nil
}

// chainSpeed compares the verification of a device that was not met before, in
// a class whose CAs were, with one verification of a signature.
func chainSpeed(ctx context.Context, cfg Config, d *stateDomain) ([]Row, error) {
	f := cfg.fleet("10 M", 10e6, fleetKinds()[1])
	state, err := d.build(f)
	if err != nil {
		return nil, err
	}
	v := &pki.Verifier{Trust: d.trust, Status: state, Cache: pki.NewCache(1)} // one chain: none of these is found again, but its CAs are
	var chains [][][]byte
	for range 8 {
		c, err := d.chainOf(9)
		if err != nil {
			return nil, err
		}
		chains = append(chains, c)
	}
	at := 0
	verify := func(n int) error {
		for range n {
			at++
			if _, err := v.Verify(chains[at%len(chains)], d.now.Add(time.Hour), pki.Device); err != nil {
				return err
			}
		}
		return nil
	}
	one, err := signatures(chains)
	if err != nil {
		return nil, err
	}
	t, err := CPU(ctx, cfg, verify, one)
	if err != nil {
		return nil, err
	}
	return []Row{
		Plain("one ECDSA P-256 verification", micros(t[1]), unitMicros),
		Plain("chain of three, CAs met before", micros(t[0]), unitMicros),
		AtMost("chain of three, CAs met before: against one ECDSA verification", share(t[0]/t[1]), unitTimes, maxChain),
	}, nil
}

// signatures checks those of leaves, in turn, and nothing else: SHA-256 of what is
// signed, and one ECDSA verification by the key of the CA.
func signatures(chains [][][]byte) (Kernel, error) {
	var leaves []*x509.Certificate
	for _, c := range chains {
		leaf, err := x509.ParseCertificate(c[0])
		if err != nil {
			return nil, fmt.Errorf("read leaf: %w", err)
		}
		leaves = append(leaves, leaf)
	}
	ca, err := x509.ParseCertificate(chains[0][1])
	if err != nil {
		return nil, fmt.Errorf("read CA: %w", err)
	}
	key, ok := ca.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return nil, errors.New("a CA has no ECDSA key")
	}
	at := 0
	return func(n int) error {
		for range n {
			at++
			leaf := leaves[at%len(leaves)]
			digest := sha256.Sum256(leaf.RawTBSCertificate)
			if !ecdsa.VerifyASN1(key, digest[:], leaf.Signature) {
				return errors.New("a signature does not hold")
			}
		}
		return nil
	}, nil
}
