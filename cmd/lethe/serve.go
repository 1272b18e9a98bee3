package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lethe-vault/lethe/cmd/lethe/config"
	"github.com/lethe-vault/lethe/cmd/lethe/health"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/accesslog"
	"github.com/lethe-vault/lethe/gateway/restapi"
	"github.com/lethe-vault/lethe/gateway/s3api"
	"github.com/lethe-vault/lethe/telemetry"
)

func (p *program) serveCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "serve", Short: "Run the gateway",
		Long: `Serve runs the gateway until it is told to stop by SIGTERM or SIGINT; requests
under way then have time to end. With no settings it is embedded: catalog,
blobs and keys lie in the data directory, whose owner can hear everything in it.
It prints one line of JSON when it is ready, and logs JSON on standard error.

A setting is a flag, an environment variable or a key of the YAML file that
--config names; the earlier of these counts. lethe config docs describes the
keys, and lethe config check finds what is wrong with them.`,
		Args: cobra.NoArgs,
		RunE: work(func(c *cobra.Command, _ []string) error {
			s, err := loadSettings(file, c.Flags())
			if err != nil {
				return err
			}
			return p.serve(c.Context(), s.Config)
		}),
	}
	c.Long += "\n\nVariables without a flag:\n\n" + strings.TrimRight(config.WithoutFlag(), "\n")
	configFlag(c.Flags(), &file)
	config.AddFlags(c.Flags())
	return c
}

// serve runs a server until ctx ends, and then for as long as its requests
// need, at most s.Shutdown.Drain.
func (p *program) serve(ctx context.Context, s config.Config) (err error) {
	if err := forbidCoreDumps(); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	log := slog.New(slog.NewJSONHandler(p.errs, &slog.HandlerOptions{Level: s.Log.Level}))
	for _, stray := range config.Stray(os.Environ()) {
		log.Warn("environment variable without effect", "name", stray.From, "problem", stray.Problem)
	}
	if err := os.MkdirAll(s.Data, 0o700); err != nil {
		return err
	}
	watch, err := watchProcess(s, log)
	if err != nil {
		return err
	}
	defer closeTelemetry(watch, log)
	base, err := openParts(ctx, s, watch)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, base.close()) }()
	if base.certificates != nil {
		log.Info("certificates of erasure are signed", "key", base.certificates.PublicKey().ID())
	}
	owner, err := ownerToken(s)
	if err != nil {
		return err
	}
	g, err := gateway.New(ctx, gateway.Config{
		Blobs:   base.blobs,
		Catalog: base.catalog,
		Keys:    base.keys,
		Owner:   gateway.NewSecret(owner),
		Logger:  log,
		Roles:   roles(s),

		Signer:        base.certificates,
		Superseded:    superseded(s),
		Observer:      watch,
		StaleUpload:   s.Uploads.StaleAfter,
		RetentionHour: s.Retention.Hour,
		ReindexEvery:  cmp.Or(s.Reindex.Every, -1),
		Sweep:         gateway.SweepConfig{Period: s.Sweep.Period, Lease: s.Sweep.Lease, Late: s.Sweep.Late},
	})
	if err != nil {
		return err
	}
	defer g.Close()
	watch.Gateway(g)
	return p.serveFronts(ctx, s, live{g, base, watch, gateway.NewSecret(owner), log})
}

// live is a server's parts, as what serves them needs them.
type live struct {
	gateway   *gateway.Gateway
	parts     *parts
	telemetry *telemetry.Telemetry
	owner     gateway.Secret
	log       *slog.Logger
}

// leastSuperseded is for how long what is superseded is kept in any case: for whoever
// makes a copy now and then, and calls it none.
const leastSuperseded = 7 * 24 * time.Hour

// superseded is for how long superseded heads and packs are kept: until the last copies
// of Vault and of the catalog from before are gone, and for ever if nobody tells when.
func superseded(s config.Config) time.Duration {
	if s.Vault.Address == "" || !s.Backups.Vault.Told || !s.Backups.Catalog.Told {
		return 0
	}
	return max(s.Backups.Vault.Kept, s.Backups.Catalog.Kept, leastSuperseded)
}

// roles are those of the process, as the gateway names them.
func roles(s config.Config) (rs gateway.Roles) {
	for _, r := range s.Roles {
		rs = append(rs, gateway.Role(r))
	}
	return rs
}

// serveFronts serves what speaks for g, and tells where once all of it listens.
func (p *program) serveFronts(ctx context.Context, s config.Config, run live) error {
	by, ready := findSupervisor(run.log), health.New(run.log, checks(run)...)
	e := &ending{Shutdown: s.Shutdown, told: func() {
		ready.Stop()
		by.stopping(s.Shutdown.Delay + s.Shutdown.Drain + endsWithin)
	}}
	services, err := fronts(s, run, ready)
	if err != nil {
		return err
	}
	all, err := listen(netLog{run.log, s.Log.Addresses}, services...)
	if err != nil {
		return err
	}
	at, err := addresses(s.TLS, all)
	if err == nil {
		err = p.announce(s.Data, at)
	}
	if err != nil {
		closeAll(all)
		return err
	}
	by.ready()
	alive, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	go by.watchdog(alive) // ends with this function
	return serve(ctx, all, e)
}

// endsWithin is how long a server needs to end beside what its requests may take.
const endsWithin = 30 * time.Second

// fronts are what a process serves: the probes, and with role front S3 and the
// REST API.
func fronts(s config.Config, run live, ready *health.Checks) ([]service, error) {
	g, log, most := run.gateway, run.log, s.Limits.Connections
	probes := service{opsListener, s.Listen.Ops, ops(run, ready), requestsAreShort, plainHTTP, most}
	if !s.Has(string(gateway.Front)) {
		return []service{probes}, nil
	}
	secure, err := secure(s.TLS, log)
	if err != nil {
		return nil, err
	}
	access := accesslog.Options{Observer: run.telemetry, Successes: s.Log.Access, Addresses: s.Log.Addresses}
	s3 := s3api.New(g, log, s3api.Config{
		Domains: s.S3.Domains, MaxExpires: s.S3.PresignMax, MaxInFlight: s.Limits.InFlight, Access: access,
	})
	return []service{
		{"s3", s.Listen.S3, s3, uploadsTakeLong, secure, most},
		{"api", s.Listen.API, restapi.New(g, log, access), requestsAreShort, secure, most},
		probes,
	}, nil
}

// plainHTTP is what probes speak: they ask on the machine itself.
var plainHTTP *tls.Config

// secure gives nil without files.
func secure(f config.TLS, log *slog.Logger) (*tls.Config, error) {
	if f.Cert == "" {
		return plainHTTP, nil
	}
	pair, err := openCertificate(f.Cert, f.Key, log)
	if err != nil {
		return nil, err
	}
	return pair.config(), nil
}

// addresses says where the listeners are.
func addresses(f config.TLS, all []listener) (at server, err error) {
	for _, l := range all {
		*at.of(l.name) = l.at.Addr().String()
	}
	if f.Cert == "" || at.S3 == "" {
		return at, nil
	}
	at.S3, at.API = "https://"+at.S3, "https://"+at.API
	at.CA, err = filepath.Abs(f.Cert)
	return at, err
}

// How long a listener waits for a request to arrive whole.
const (
	uploadsTakeLong  time.Duration = 0 // no limit
	requestsAreShort               = 30 * time.Second
)

// ownerToken gives the token that operates the server.
func ownerToken(s config.Config) (string, error) {
	if s.OwnerToken != "" {
		return readToken(s.OwnerToken)
	}
	return ensureToken(filepath.Join(s.Data, ownerFile))
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
