package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Errors that callers tell apart.
var (
	// ErrUnknown: the token, key or session is none, is over or was revoked.
	ErrUnknown = errors.New("operator: not signed in, or no longer")
	// ErrForbidden: the operator's role does not allow it.
	ErrForbidden = errors.New("operator: your role does not allow this")
	// ErrNotFound: no such record.
	ErrNotFound = errors.New("operator: no such record")
	// ErrInvalid: a request that no state would make right.
	ErrInvalid = errors.New("operator: malformed")
	// ErrSecond: the one who proposed it does not approve it.
	ErrSecond = errors.New("operator: another operator has to approve what you proposed")
	// ErrOver: the proposal was decided, or its time is over.
	ErrOver = errors.New("operator: the proposal was decided already, or its time is over")
)

// Scope is a part of what can be done.
type Scope string

// The scopes.
const (
	Read      Scope = "read"      // look at everything but secrets
	Help      Scope = "help"      // customers: renew, lend, holds, codes once more
	Sell      Scope = "sell"      // grants and claim codes
	Shelf     Scope = "shelf"     // titles, offers, how many copies
	Revoke    Scope = "revoke"    // propose and approve revocations
	Audit     Scope = "audit"     // take the log out
	Operators Scope = "operators" // API keys
)

// Role is a set of scopes under a name.
type Role string

// The roles.
const (
	Viewer   Role = "viewer"
	Support  Role = "support"
	Issuing  Role = "issuer"
	Security Role = "security"
)

// Roles lists all roles.
func Roles() []Role { return []Role{Viewer, Support, Issuing, Security} }

// Scopes is what a role may do; empty for what is no role.
func (r Role) Scopes() []Scope {
	return map[Role][]Scope{
		Viewer:   {Read},
		Support:  {Read, Help},
		Issuing:  {Read, Help, Sell, Shelf},
		Security: {Read, Revoke, Audit, Operators},
	}[r]
}

// owner has every scope: who can read the folder's token can change the database.
func ownerScopes() []Scope { return []Scope{Read, Help, Sell, Shelf, Revoke, Audit, Operators} }

// Operator is somebody whose right to act was checked. Only a Desk makes one;
// the zero Operator may do nothing.
type Operator struct {
	actor  string
	name   string
	role   Role
	scopes []Scope
}

// Actor is what the log calls the operator: owner, key:ID or oidc:SUBJECT.
func (o *Operator) Actor() string { return o.actor }

// Name is what people call the operator.
func (o *Operator) Name() string { return o.name }

// Role is the operator's role; the owner has none.
func (o *Operator) Role() Role { return o.role }

// Owner reports whether it is who has the folder's token.
func (o *Operator) Owner() bool { return o.actor == ownerActor }

// May reports whether the operator has a scope.
func (o *Operator) May(s Scope) bool { return slices.Contains(o.scopes, s) }

// Scopes lists what the operator may do.
func (o *Operator) Scopes() []Scope { return slices.Clone(o.scopes) }

const ownerActor = "owner"

// narrow is a role's scopes, or those of them that are wanted.
func narrow(r Role, want []Scope) ([]Scope, error) {
	have := r.Scopes()
	if have == nil {
		return nil, fmt.Errorf("%w: there is no role %q; there are %v", ErrInvalid, r, Roles())
	}
	if len(want) == 0 {
		return have, nil
	}
	for _, s := range want {
		if !slices.Contains(have, s) {
			return nil, fmt.Errorf("%w: the role %s has no scope %q; it has %v", ErrInvalid, r, s, have)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(want))), nil
}

// ScopesText and ScopesOf turn scopes into a column and back: "help,read".
func ScopesText(all []Scope) string {
	parts := make([]string, len(all))
	for i, s := range all {
		parts[i] = string(s)
	}
	return strings.Join(parts, ",")
}

// ScopesOf reads what ScopesText writes.
func ScopesOf(text string) []Scope {
	out := []Scope{}
	for part := range strings.SplitSeq(text, ",") {
		if part != "" {
			out = append(out, Scope(part))
		}
	}
	return out
}

type contextKey struct{}

// With is a context of a call that an operator makes; From finds the operator, or nil.
func With(ctx context.Context, o *Operator) context.Context {
	return context.WithValue(ctx, contextKey{}, o)
}

// From finds the operator of a call.
func From(ctx context.Context) *Operator {
	o, _ := ctx.Value(contextKey{}).(*Operator)
	return o
}
