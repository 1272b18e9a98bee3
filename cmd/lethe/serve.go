package main

import (
	"context"
	"crypto/tls"
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
	tls       tlsFiles
	front     s3api.Config
	most      int    // connections to a listener from one address
	catalog   string // "" is SQLite in data
	store     storeSettings
	vault     vaultSettings
}

// tlsFiles name the pair that the S3 front and the REST API show. Both are "",
// for plain HTTP, or neither.
type tlsFiles struct{ cert, key string }

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
	s.frontFlags(f)
	f.TextVar(&s.level, "log-level", slog.LevelInfo, "debug, info, warn or error")
	fromEnv(f, &s.ownerFile, "owner-token-file", "LETHE_OWNER_TOKEN_FILE", "owner token that replicas share; default DIR/owner.token")
	fromEnv(f, &s.catalog, "catalog", "LETHE_CATALOG", "postgres://… or sqlite:PATH; default sqlite:DIR/catalog.db")
	s.store.flags(f)
	s.vault.flags(f)
	return c
}

// frontFlags are how clients reach the server, and how much of it each may use.
func (s *settings) frontFlags(f *pflag.FlagSet) {
	f.StringVar(&s.tls.cert, "tls-cert", "", "PEM file of the certificate of the S3 front and the REST API, read again when it changes; default plain HTTP")
	f.StringVar(&s.tls.key, "tls-key", "", "PEM file of its private key")
	f.StringSliceVar(&s.front.Domains, "s3-domain", nil, "domain below which a host names a bucket, as BUCKET.DOMAIN; may be repeated")
	f.DurationVar(&s.front.MaxExpires, "presign-max", s3api.DefaultMaxExpires, "longest that a presigned URL may hold")
	f.IntVar(&s.front.MaxInFlight, "max-in-flight", s3api.DefaultMaxInFlight, "requests under way for one access key; beyond, SlowDown is answered")
	f.IntVar(&s.most, "max-connections", defaultConnections, "connections to a listener from one address; beyond, they are closed")
}

// checkLimits refuses limits under which nothing could be served.
func (s settings) checkLimits() error {
	if s.most < 1 || s.front.MaxInFlight < 1 || s.front.MaxExpires < time.Second {
		return misusef("--max-connections and --max-in-flight are at least 1, --presign-max at least 1s")
	}
	return nil
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
	if err := s.checkLimits(); err != nil {
		return err
	}
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
	secure, err := s.tls.config(log)
	if err != nil {
		return err
	}
	all, err := listen(log,
		service{"s3", s.listen.S3, s3api.New(g, log, s.front), uploadsTakeLong, secure, s.most},
		service{"api", s.listen.API, restapi.New(g, log, s.front.Access), requestsAreShort, secure, s.most},
		service{"ops", s.listen.Ops, ops(g), requestsAreShort, plainHTTP, s.most},
	)
	if err != nil {
		return err
	}
	at, err := s.tls.addresses(all)
	if err == nil {
		err = p.announce(s.data, at)
	}
	if err != nil {
		closeAll(all)
		return err
	}
	return serve(ctx, all)
}

// plainHTTP is what probes speak: they ask on the machine itself.
var plainHTTP *tls.Config

// config gives nil without files.
func (f tlsFiles) config(log *slog.Logger) (*tls.Config, error) {
	switch {
	case f == tlsFiles{}:
		return nil, nil
	case f.cert == "" || f.key == "":
		return nil, misusef("give both --tls-cert and --tls-key")
	}
	pair, err := openCertificate(f.cert, f.key, log)
	if err != nil {
		return nil, err
	}
	return pair.config(), nil
}

// addresses says where the listeners of S3, API and ops are.
func (f tlsFiles) addresses(all []listener) (at server, err error) {
	at = server{S3: all[0].at.Addr().String(), API: all[1].at.Addr().String(), Ops: all[2].at.Addr().String()}
	if f.cert == "" {
		return at, nil
	}
	at.S3, at.API = "https://"+at.S3, "https://"+at.API
	at.CA, err = filepath.Abs(f.cert)
	return at, err
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
