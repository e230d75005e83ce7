package issuer_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/lares-drm/lares/internal/store"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

// A shop rents a film to a household for two plays within 48 hours.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "issuer")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	db, err := store.OpenSQLite(ctx, filepath.Join(dir, "issuer.db"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	shop, err := issuer.New(ctx, issuer.Config{TREM: &fakeTREM{epoch: 7}, Store: db, Now: time.Now})
	if err != nil {
		fmt.Println(err)
		return
	}
	film, err := shop.RegisterContent(ctx, []byte("keys of urn:lares:film:1"))
	if err != nil {
		fmt.Println(err)
		return
	}
	g, err := shop.Grant(ctx, issuer.Grant{Domain: ident.Domain{1}, Content: film.ID, Terms: "PLAY; PLAY_COUNT=2; INTERVAL=48h"})
	fmt.Println(g.Kind, g.Remaining, g.Terms, err)
	// Output: rental 1 PLAY; INTERVAL=48h; PLAY_COUNT=2 <nil>
}
