package trem_test

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem"
)

// A host asks its module to play. Here the module is a few lines that refuse
// as a real one does: with every reason, as a value.
func Example() {
	host, module := net.Pipe()
	go func() {
		defer module.Close()
		if _, err := trem.ReadMessage(module); err != nil {
			return
		}
		no := license.Decision{Action: permission.Play, Reasons: []license.Reason{{Code: license.CountExhausted, Closed: true, Remedy: license.Buy}}}
		header, err := trem.NewReply(nil, &trem.RefusalError{Decision: no})
		if err == nil {
			_ = trem.WriteMessage(module, trem.Message{Header: header})
		}
	}()
	client := trem.NewClient(host)
	defer client.Close()
	_, err := client.Begin(context.Background(), trem.Ask{Content: "lares-film", Action: permission.Play})
	if refusal, ok := errors.AsType[*trem.RefusalError](err); ok {
		for _, r := range refusal.Decision.Reasons {
			fmt.Println(r.Code, r.Remedy)
		}
	}
	// Output: COUNT_EXHAUSTED BUY
}
