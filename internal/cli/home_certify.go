package cli

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/service/home"
)

// Files of a relay's certificate.
const (
	relayCertFile = "cert.pem"
	relayKeyFile  = "key.pem" // mode 0600
	houseCAFile   = "ca.pem"
)

// certified is what `home certify --json` prints.
type certified struct {
	Cert  string    `json:"cert"`
	Key   string    `json:"key"`
	CA    string    `json:"ca"`
	Until time.Time `json:"until"`
}

func newHomeCertifyCmd(env *Env, dir *string) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "certify",
		Short: "Make a certificate by which devices know a relay of this house",
		Long: `A relay with this certificate is to the devices of this house what the house's own
server is: they take no other one in its place. Give it to a relay of your own only: who
runs it can read which titles are asked for, but no film and no key.

It is good for 90 days: make another before, and send the relay a SIGHUP.`,
		Example: `  lares home certify --out ./relay
  lares relay serve --listen :7711 --tls-cert relay/cert.pem --tls-key relay/key.pem --upstream https://192.168.1.10:7710 --upstream-ca relay/ca.pem
  lares home certify --out ./relay --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			made, err := certifyRelay(*dir, out, env.Now)
			if errors.Is(err, home.ErrNoCA) {
				return refused("this house has no certification authority for its network yet: it is made when lares home serve --dir %s runs for the first time", *dir)
			}
			if err != nil {
				return err
			}
			return env.print(cmd, made, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s, its key and the house's CA %s are made. Use them until %s.\n", made.Cert, made.CA, made.Until.Format(time.DateOnly))
				return err
			})
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "folder for "+relayCertFile+", "+relayKeyFile+" and "+houseCAFile+" (required)")
	_ = cmd.MarkFlagRequired("out")
	return cmd
}

func certifyRelay(dir, out string, now func() time.Time) (made certified, err error) {
	cert, ca, err := home.CertifyRelay(dir, now)
	if err != nil {
		return made, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return made, fmt.Errorf("write the key: %w", err)
	}
	if err := os.MkdirAll(out, 0o700); err != nil {
		return made, err
	}
	made = certified{Cert: filepath.Join(out, relayCertFile), Key: filepath.Join(out, relayKeyFile), CA: filepath.Join(out, houseCAFile), Until: cert.Leaf.NotAfter}
	for _, f := range []struct {
		name, kind string
		der        []byte
	}{
		{made.Key, "PRIVATE KEY", pkcs8}, {made.CA, "CERTIFICATE", ca.Raw}, {made.Cert, "CERTIFICATE", cert.Leaf.Raw},
	} {
		if err := writeDurably(f.name, pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der})); err != nil {
			return made, err
		}
	}
	return made, nil
}

// houseTransport is a transport to what has a certificate of the household's CA in a
// file; nil without one.
func houseTransport(file string) (http.RoundTripper, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // the default
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the household's CA: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, usage("%s is no PEM file of a household's CA, such as lares home certify writes", file)
	}
	return trusting(block.Bytes)
}
