package store

import (
	"context"
	"errors"
	"math"

	"github.com/lares-drm/lares/internal/operator"
	"github.com/lares-drm/lares/service/issuer"
)

// Operators is the store as the desk of the issuer's operators sees it.
func (s *Store) Operators() operator.Store { return operators{s} }

type operators struct{ s *Store }

// Update runs fn in one transaction; nil means that it is durable.
func (o operators) Update(ctx context.Context, fn func(ctx context.Context, tx operator.Tx) error) error {
	return o.s.run(ctx, o.s.engine.update, func(ctx context.Context, c conn) error { return fn(ctx, &operatorTx{tx{conn: c}}) })
}

// View runs fn on one consistent state.
func (o operators) View(ctx context.Context, fn func(ctx context.Context, r operator.Reader) error) error {
	return o.s.run(ctx, o.s.engine.view, func(ctx context.Context, c conn) error { return fn(ctx, &operatorTx{tx{conn: c}}) })
}

// operatorTx does what internal/operator asks.
type operatorTx struct{ t tx }

var _ operator.Tx = (*operatorTx)(nil)

// theirs is an error as internal/operator names it.
func theirs(err error) error {
	if errors.Is(err, issuer.ErrNotFound) {
		return operator.ErrNotFound
	}
	return err
}

const (
	keyColumns   = `key_id, hash, name, role, scopes, created_at, expires_at, revoked_at`
	sqlPutKey    = `INSERT INTO operator_key (` + keyColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	sqlKeys      = `SELECT ` + keyColumns + ` FROM operator_key ORDER BY created_at, key_id`
	sqlKey       = `SELECT ` + keyColumns + ` FROM operator_key WHERE key_id = $1`
	sqlRevokeKey = `UPDATE operator_key SET revoked_at = $2 WHERE key_id = $1 AND revoked_at = 0`
)

// PutKey records an API key.
func (o *operatorTx) PutKey(ctx context.Context, k operator.Key) error {
	return o.t.one(ctx, sqlPutKey, k.ID[:], k.Hash[:], k.Name, string(k.Role), operator.ScopesText(k.Scopes), k.Created, k.Expires, k.Revoked)
}

// Keys returns all API keys, oldest first.
func (o *operatorTx) Keys(ctx context.Context) ([]operator.Key, error) { return o.keys(ctx, sqlKeys) }

// Key returns one API key.
func (o *operatorTx) Key(ctx context.Context, id operator.KeyID) (operator.Key, error) {
	k, err := single(o.keys(ctx, sqlKey, id[:]))
	return k, theirs(err)
}

func (o *operatorTx) keys(ctx context.Context, sql string, args ...any) ([]operator.Key, error) {
	out := []operator.Key{}
	err := o.t.conn.query(ctx, func(scan func(...any) error) error {
		var id, hash []byte
		var role, scopes string
		var k operator.Key
		if err := scan(&id, &hash, &k.Name, &role, &scopes, &k.Created, &k.Expires, &k.Revoked); err != nil {
			return err
		}
		f := fixed{}
		f.copy(k.ID[:], id)
		f.copy(k.Hash[:], hash)
		k.Role, k.Scopes = operator.Role(role), operator.ScopesOf(scopes)
		out = append(out, k)
		return f.err
	}, sql, args...)
	return out, err
}

// RevokeKey ends an API key that stands.
func (o *operatorTx) RevokeKey(ctx context.Context, id operator.KeyID, at int64) (bool, error) {
	return o.t.fresh(ctx, sqlRevokeKey, id[:], at)
}

const (
	sessionColumns  = `hash, actor, name, role, scopes, key_id, created_at, expires_at`
	sqlPutSession   = `INSERT INTO operator_session (` + sessionColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	sqlSession      = `SELECT ` + sessionColumns + ` FROM operator_session WHERE hash = $1`
	sqlDropSession  = `DELETE FROM operator_session WHERE hash = $1`
	sqlDropSessions = `DELETE FROM operator_session WHERE expires_at <= $1`
)

// PutSession records a session, and forgets those that are over.
func (o *operatorTx) PutSession(ctx context.Context, s operator.Session) error {
	if _, err := o.t.conn.exec(ctx, sqlDropSessions, s.Created); err != nil {
		return err
	}
	return o.t.one(ctx, sqlPutSession, s.Hash[:], s.Actor, s.Name, string(s.Role), operator.ScopesText(s.Scopes), s.Key[:], s.Created, s.Expires)
}

// Session returns a session by the hash of its token.
func (o *operatorTx) Session(ctx context.Context, hash operator.Hash) (operator.Session, error) {
	var all []operator.Session
	err := o.t.conn.query(ctx, func(scan func(...any) error) error {
		var id, key []byte
		var role, scopes string
		var s operator.Session
		if err := scan(&id, &s.Actor, &s.Name, &role, &scopes, &key, &s.Created, &s.Expires); err != nil {
			return err
		}
		f := fixed{}
		f.copy(s.Hash[:], id)
		f.copy(s.Key[:], key)
		s.Role, s.Scopes = operator.Role(role), operator.ScopesOf(scopes)
		all = append(all, s)
		return f.err
	}, sqlSession, hash[:])
	s, err := single(all, err)
	return s, theirs(err)
}

// DropSession ends a session.
func (o *operatorTx) DropSession(ctx context.Context, hash operator.Hash) error {
	return theirs(o.t.one(ctx, sqlDropSession, hash[:]))
}

const (
	proposalColumns = `proposal_id, action, subject, reason, actor, proposed_at, expires_at, state, decider, decided_at`
	sqlPutProposal  = `INSERT INTO proposal (` + proposalColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING`
	sqlProposal     = `SELECT ` + proposalColumns + ` FROM proposal WHERE proposal_id = $1`
	sqlProposals    = `SELECT ` + proposalColumns + ` FROM proposal WHERE proposed_at < $1 OR (proposed_at = $1 AND proposal_id > $2) ORDER BY proposed_at DESC, proposal_id LIMIT $3`
	sqlSetProposal  = `UPDATE proposal SET state = $3, decider = $4, decided_at = $5 WHERE proposal_id = $1 AND state = $2`
)

// PutProposal records a proposal.
func (o *operatorTx) PutProposal(ctx context.Context, p operator.Proposal) (bool, error) {
	return o.t.fresh(ctx, sqlPutProposal, p.ID[:], p.Action, p.Subject, p.Reason, p.By, p.At, p.Expires, string(p.State), p.Decider, p.Decided)
}

// Proposal returns one proposal.
func (o *operatorTx) Proposal(ctx context.Context, id operator.ProposalID) (operator.Proposal, error) {
	p, err := single(o.proposals(ctx, sqlProposal, id[:]))
	return p, theirs(err)
}

// Proposals returns a page of proposals, newest first.
func (o *operatorTx) Proposals(ctx context.Context, after operator.ProposalPlace, limit int) ([]operator.Proposal, error) {
	if after.At == 0 {
		after.At = math.MaxInt64
	}
	return o.proposals(ctx, sqlProposals, after.At, after.ID[:], int64(limit))
}

func (o *operatorTx) proposals(ctx context.Context, sql string, args ...any) ([]operator.Proposal, error) {
	out := []operator.Proposal{}
	err := o.t.conn.query(ctx, func(scan func(...any) error) error {
		var id []byte
		var state string
		var p operator.Proposal
		if err := scan(&id, &p.Action, &p.Subject, &p.Reason, &p.By, &p.At, &p.Expires, &state, &p.Decider, &p.Decided); err != nil {
			return err
		}
		f := fixed{}
		f.copy(p.ID[:], id)
		p.State = operator.ProposalState(state)
		out = append(out, p)
		return f.err
	}, sql, args...)
	return out, err
}

// SetProposal changes what became of a proposal.
func (o *operatorTx) SetProposal(ctx context.Context, p operator.Proposal, from operator.ProposalState) (bool, error) {
	return o.t.fresh(ctx, sqlSetProposal, p.ID[:], string(from), string(p.State), p.Decider, p.Decided)
}
