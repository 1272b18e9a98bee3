package clients

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/lethe-vault/lethe/test/servers"
)

// mc is MinIO's client; it takes its alias "lethe" from the environment and
// the certificates to trust from its directory.
type mc struct {
	shell
	site
	binary string
}

func newMC(t testing.TB, s site) client {
	u := s.url()
	c := mc{newShell(t, fmt.Sprintf("MC_HOST_lethe=%s://%s:%s@%s", u.Scheme, s.keys.AccessKey, s.keys.SecretKey, u.Host)), s, servers.MC(t)}
	if s.secure() {
		pem, err := os.ReadFile(s.ca)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(c.home, ".mc", "certs", "CAs", "lethe.pem"), string(pem))
	}
	return c
}

func (c mc) mc(ctx context.Context, args ...string) ([]byte, error) {
	return c.run(ctx, append([]string{c.binary, "--quiet"}, args...)...)
}

func (c mc) at(name string) string { return "lethe/" + c.bucket + "/" + name }

func (c mc) put(ctx context.Context, file, name string) error {
	_, err := c.mc(ctx, "cp", file, c.at(name))
	return err
}

func (c mc) get(ctx context.Context, name, file string) error {
	_, err := c.mc(ctx, "cp", c.at(name), file)
	return err
}

func (c mc) span(ctx context.Context, name string, s span) ([]byte, error) {
	return c.mc(ctx, "cat", "--offset", fmt.Sprint(s.first), c.at(name))
}

// mcEntry is a line of mc's --json.
type mcEntry struct {
	Key  string
	Size int64
}

func (c mc) list(ctx context.Context, prefix string) (entries []string, err error) {
	out, err := c.mc(ctx, "ls", "--json", "--recursive", c.at(prefix))
	if err != nil {
		return nil, err
	}
	for _, line := range lines(out) {
		var e mcEntry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			return nil, err
		}
		entries = append(entries, entry(e.Size, prefix+e.Key)) // it names what is below prefix
	}
	return entries, nil
}

func (c mc) size(ctx context.Context, name string) (int64, error) {
	out, err := c.mc(ctx, "stat", "--json", c.at(name))
	if err != nil {
		return 0, err
	}
	var e mcEntry
	err = json.Unmarshal(out, &e)
	return e.Size, err
}

func (c mc) remove(ctx context.Context, name string) error {
	_, err := c.mc(ctx, "rm", c.at(name))
	return err
}
