package issuerapi

import (
	"context"

	"github.com/lares-drm/lares/internal/operator"
)

func (a *api) operatorRoutes() {
	tag := "operators"
	add(a, op{id: "whoami", method: "GET", path: "/api/v1/whoami", tag: tag, text: "Who asks, and what they may do", scope: operator.Read}, func(ctx context.Context, _ *struct{}) (Whoami, error) {
		o := operator.From(ctx)
		return Whoami{o.Actor(), o.Name(), o.Role(), o.Scopes(), a.cfg.Desk.Alone(o)}, nil
	})
	add(a, op{id: "list-keys", method: "GET", path: "/api/v1/keys", tag: tag, text: "All API keys, without their secrets", scope: operator.Read}, func(ctx context.Context, _ *struct{}) (out KeyList, err error) {
		out.Keys, err = a.cfg.Desk.Keys(ctx)
		return out, err
	})
	add(a, op{id: "make-key", method: "POST", path: "/api/v1/keys", tag: tag, text: "Make an API key; its token is in this answer and nowhere else", scope: operator.Operators}, a.makeKey)
	add(a, op{id: "revoke-key", method: "POST", path: "/api/v1/keys/{key}/revoke", tag: tag, text: "End an API key", scope: operator.Operators}, func(ctx context.Context, in *keyPath) (struct{}, error) {
		return struct{}{}, a.cfg.Desk.RevokeKey(ctx, operator.From(ctx), in.Key)
	})
}

// Whoami is the operator who asks.
type Whoami struct {
	Actor  string           `json:"actor"`
	Name   string           `json:"name"`
	Role   operator.Role    `json:"role,omitempty"` // the owner has none
	Scopes []operator.Scope `json:"scopes"`
	Alone  bool             `json:"alone"` // revokes without a second operator
}

// KeyList is all API keys.
type KeyList struct {
	Keys []operator.Key `json:"keys"`
}

type keyBody struct{ Body operator.NewKey }

type keyPath struct {
	Key operator.KeyID `path:"key"`
}

// MadeKey is an API key with its token.
type MadeKey struct {
	operator.Key
	Token string `json:"token"`
}

func (a *api) makeKey(ctx context.Context, in *keyBody) (MadeKey, error) {
	k, token, err := a.cfg.Desk.MakeKey(ctx, operator.From(ctx), in.Body)
	return MadeKey{k, token}, err
}
