// Package doctor examines what a server runs on, or would: the parts themselves,
// not the server. It can do so before one ever ran, and beside one that runs.
//
// What is particular to a part is checked next to it (storecheck, filestore,
// catalog, hashivault); here are the machine, the files, the clocks, TLS, and
// what was told of backups.
package doctor

import (
	"context"
	"sync"
	"time"

	"github.com/lethe-vault/lethe/cmd/lethe/config"
	"github.com/lethe-vault/lethe/crypto/hashivault"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/finding"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/catalog"
)

// Subject is what is examined.
type Subject struct {
	Config  config.Config
	Catalog func() (dsn string, err error)
	Store   func(context.Context) (blob.Store, error) // of a bucket; unused if Config has none
	Vault   hashivault.Config                         // with every identity; unused if Config has no Vault
}

// within bounds each part. The catalog comes before the others.
const within = 30 * time.Second

// Run examines all of it, in the order in which a person would read it.
func Run(ctx context.Context, s Subject) finding.List {
	survey := s.catalog(ctx)
	var all [8]finding.List
	var running sync.WaitGroup
	for i, examine := range [len(all)]func(context.Context) finding.List{
		s.machine,
		s.files,
		s.tls,
		func(ctx context.Context) finding.List { return s.clocks(ctx, survey) },
		s.store,
		func(context.Context) finding.List { return survey.List },
		func(ctx context.Context) finding.List { return s.vault(ctx, survey) },
		s.backups,
	} {
		running.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, within)
			defer cancel()
			all[i] = examine(ctx)
		})
	}
	running.Wait()
	var l finding.List
	for _, part := range all {
		l = append(l, part...)
	}
	return l
}

func (s Subject) catalog(ctx context.Context) (survey catalog.Survey) {
	dsn, err := s.Catalog()
	if err != nil {
		survey.Fail("catalog.reach", "the address of the catalog cannot be put together: "+err.Error(), "see catalog.url and catalog.password-file")
		return survey
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return catalog.Check(ctx, dsn)
}

func (s Subject) vault(ctx context.Context, survey catalog.Survey) (l finding.List) {
	at := s.Config.Vault.Address
	if at == "" {
		return s.localKeys()
	}
	if insecure(at) {
		l.Fail("vault.tls", "Vault is spoken to without TLS across the network: every key that it opens can be read there", "give vault.address as https://HOST:PORT")
	} else {
		l.OK("vault.tls", "Vault is reached over TLS, or on this machine")
	}
	var roots []hashivault.Held
	for i, t := range survey.Tenants {
		held := hashivault.Held{Root: keytree.RootOf(t)}
		if head, err := keytree.ParseHead(survey.Heads[i]); err == nil {
			held.Version = head.Version
		}
		roots = append(roots, held)
	}
	return append(l, hashivault.Check(ctx, s.Vault, roots)...)
}
