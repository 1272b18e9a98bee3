package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/restapi"
	"github.com/lethe-vault/lethe/gateway/s3api"
)

// defaultData is where an embedded server keeps everything.
const defaultData = "./lethe-data"

// settings is how a server is set up.
type settings struct {
	data      string // directory for server.json, owner.token and every embedded part
	ownerFile string // "" is owner.token in data, drawn when it is absent
	listen    server // addresses to listen on; port 0 takes a free one
	level     slog.Level
	catalog   string // "" is SQLite in data
	store     storeSettings
	vault     vaultSettings
}

func (p *program) serveCommand() *cobra.Command {
	var s settings
	c := &cobra.Command{
		Use: "serve", Short: "Run the gateway",
		Long: `Serve runs the gateway until it is told to stop by SIGTERM or SIGINT; requests
under way then have 30 s to end. With no further flags it is embedded: catalog,
blobs and keys lie in the data directory, whose owner can hear everything in it.
It prints one line of JSON when it is ready, and logs JSON on standard error.

The identities a server has at Vault come from the environment, for the data
role, and with ERASER_ or PROVISIONER_ after LETHE_VAULT_ for the other two:
LETHE_VAULT_ROLE_ID and LETHE_VAULT_SECRET_ID_FILE (AppRole), or
LETHE_VAULT_JWT_ROLE and LETHE_VAULT_JWT_FILE (JWT or Kubernetes, mounted at
LETHE_VAULT_JWT_MOUNT). LETHE_VAULT_TOKEN or --vault-token-file serve for every
role that has none of these.`,
		Args: cobra.NoArgs,
		RunE: work(func(c *cobra.Command, _ []string) error {
			s.data = p.data
			if s.data == "" {
				s.data = defaultData
			}
			return p.serve(c.Context(), s)
		}),
	}
	f := c.Flags()
	f.StringVar(&s.listen.S3, "listen-s3", "127.0.0.1:9000", "address of the S3 front")
	f.StringVar(&s.listen.API, "listen-api", "127.0.0.1:9001", "address of the REST API")
	f.StringVar(&s.listen.Ops, "listen-ops", "127.0.0.1:9002", "address of /healthz and /readyz")
	f.TextVar(&s.level, "log-level", slog.LevelInfo, "debug, info, warn or error")
	fromEnv(f, &s.ownerFile, "owner-token-file", "LETHE_OWNER_TOKEN_FILE", "owner token that replicas share; default DIR/owner.token")
	fromEnv(f, &s.catalog, "catalog", "LETHE_CATALOG", "postgres://… or sqlite:PATH; default sqlite:DIR/catalog.db")
	s.store.flags(f)
	s.vault.flags(f)
	return c
}

// fromEnv adds a flag whose default is in the environment, and keeps that out
// of the help.
func fromEnv(f *pflag.FlagSet, value *string, name, env, usage string) {
	f.StringVar(value, name, "", usage+" ("+env+")")
	*value = os.Getenv(env)
}

// serve runs a server until ctx ends, and then for as long as its requests
// need, at most drainFor.
func (p *program) serve(ctx context.Context, s settings) (err error) {
	if err := forbidCoreDumps(); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	log := slog.New(slog.NewJSONHandler(p.errs, &slog.HandlerOptions{Level: s.level}))
	if err := os.MkdirAll(s.data, 0o700); err != nil {
		return err
	}
	base, err := openParts(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, base.close()) }()
	owner, err := s.owner()
	if err != nil {
		return err
	}
	g, err := gateway.New(ctx, gateway.Config{
		Blobs:   base.blobs,
		Catalog: base.catalog,
		Keys:    base.keys,
		Owner:   gateway.NewSecret(owner),
		Logger:  log,
	})
	if err != nil {
		return err
	}
	defer g.Close()
	return p.serveFronts(ctx, s, g, log)
}

// serveFronts serves what speaks for g, and tells where once all of it listens.
func (p *program) serveFronts(ctx context.Context, s settings, g *gateway.Gateway, log *slog.Logger) error {
	all, err := listen(log,
		service{"s3", s.listen.S3, s3api.New(g, log), uploadsTakeLong},
		service{"api", s.listen.API, restapi.New(g, log), requestsAreShort},
		service{"ops", s.listen.Ops, ops(g), requestsAreShort},
	)
	if err != nil {
		return err
	}
	at := server{S3: all[0].at.Addr().String(), API: all[1].at.Addr().String(), Ops: all[2].at.Addr().String()}
	if err := p.announce(s.data, at); err != nil {
		closeAll(all)
		return err
	}
	return serve(ctx, all)
}

// How long a listener waits for a request to arrive whole.
const (
	uploadsTakeLong  time.Duration = 0 // no limit
	requestsAreShort               = 30 * time.Second
)

// owner gives the token that operates the server.
func (s settings) owner() (string, error) {
	if s.ownerFile != "" {
		return readToken(s.ownerFile)
	}
	return ensureToken(filepath.Join(s.data, ownerFile))
}

// announce tells that the server is up: in its directory, then on one line.
func (p *program) announce(dir string, at server) error {
	if err := at.write(dir); err != nil {
		return err
	}
	return printJSON(p.out, struct {
		Ready bool `json:"ready"`
		server
	}{true, at})
}
