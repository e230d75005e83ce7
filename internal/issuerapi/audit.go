package issuerapi

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/lares-drm/lares/internal/audit"
	"github.com/lares-drm/lares/internal/operator"
)

func (a *api) auditRoutes() {
	tag := "audit"
	add(a, op{id: "list-audit", method: "GET", path: "/api/v1/audit", tag: tag, text: "What operators did, newest first", scope: operator.Read}, a.entries)
	add(a, op{id: "verify-audit", method: "GET", path: "/api/v1/audit/verify", tag: tag, text: "Follow the log and its signed heads", scope: operator.Read}, func(ctx context.Context, _ *struct{}) (audit.Report, error) {
		return a.cfg.Desk.Verify(ctx)
	})
	o := a.operation(op{id: "export-audit", method: "GET", path: "/api/v1/audit/export", tag: tag, text: "The whole log with its signed heads, a JSON object a line (docs/spec/audit.md)", scope: operator.Audit})
	o.Responses["200"] = &huma.Response{Description: "lines", Content: map[string]*huma.MediaType{"application/jsonl": {Schema: &huma.Schema{Type: "string"}}}}
	huma.Register(a.huma, o, func(context.Context, *struct{}) (*huma.StreamResponse, error) {
		return &huma.StreamResponse{Body: a.export}, nil
	})
}

// AuditPage is a page of the log; Next is the cursor of the next one, or empty.
type AuditPage struct {
	Entries []audit.Entry `json:"entries"`
	Next    string        `json:"next,omitempty"`
}

func (a *api) entries(ctx context.Context, in *AfterText) (out AuditPage, err error) {
	before := uint64(0)
	if in.After != "" {
		if before, err = strconv.ParseUint(in.After, 10, 63); err != nil || before == 0 {
			return out, fmt.Errorf("%w: cursor", errRequest)
		}
	}
	out.Entries, err = a.cfg.Desk.Entries(ctx, before, pageSize)
	if n := len(out.Entries); n == pageSize && out.Entries[n-1].Seq > 1 {
		out.Next = strconv.FormatUint(out.Entries[n-1].Seq, 10)
	}
	return out, err
}

// export writes line by line. One that breaks off has no closing head, so who
// reads it sees that.
func (a *api) export(hc huma.Context) {
	begun := false
	err := a.cfg.Desk.Export(hc.Context(), func(l audit.Line) error {
		if !begun {
			hc.SetHeader("Content-Type", "application/jsonl")
			hc.SetStatus(http.StatusOK)
			begun = true
		}
		data, err := l.Encode()
		if err == nil {
			_, err = hc.BodyWriter().Write(data)
		}
		return err
	})
	if err != nil {
		a.cfg.Log.LogAttrs(hc.Context(), slog.LevelError, "audit log not exported", slog.Any("error", err))
		if !begun {
			hc.SetHeader("Content-Type", "application/problem+json")
			hc.SetStatus(http.StatusInternalServerError)
		}
	}
}
