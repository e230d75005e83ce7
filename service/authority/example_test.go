package authority_test

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"
	"os"
	"time"

	ca "github.com/lares-drm/lares/security/pki/authority"
	"github.com/lares-drm/lares/security/revocation"
	"github.com/lares-drm/lares/service/authority"
)

func ExampleClient_State() {
	path, err := os.MkdirTemp("", "authority")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(path) //nolint:errcheck // a temporary folder
	now := func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }
	if _, err := ca.Ceremony(ca.OSDir(path), ca.Config{Name: "Example"}, now()); err != nil {
		log.Fatal(err)
	}
	server, err := authority.New(authority.Config{Store: ca.OSDir(path), Now: now})
	if err != nil {
		log.Fatal(err)
	}
	web := httptest.NewServer(server.Handler())
	defer web.Close()

	client := &authority.Client{URL: web.URL}
	learned, err := client.State(context.Background(), 0)
	if err != nil {
		log.Fatal(err)
	}
	head, err := revocation.ParseHead(learned.Head) // a module verifies it
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("epoch", head.Epoch.Number, "of", head.Leaves, "classes")
	// Output:
	// epoch 1 of 6 classes
}
