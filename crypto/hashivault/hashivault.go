// Package hashivault keeps tenant roots in the transit engine of HashiCorp
// Vault or OpenBao: a keytree.Provider. It uses only endpoints that both have.
//
// Vault does the wrapping and the forgetting; this package sees to the order
// of requests, to what answers mean, and to staying logged in. It leaves to
// its caller what only a tombstone can say: that a key which is gone was meant
// to be. A mount that is not ours says the same of every key.
//
// No error holds anything that Vault said: only what was tried, on which root,
// the HTTP status, and one of keytree's errors.
package hashivault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/observe"
)

// Config says where Vault is and who we are there. No VAULT_* variable of the
// environment adds to it.
type Config struct {
	Address   string // https://host:port; required
	Namespace string // "" is the root namespace
	Mount     string // of the transit engine; "" means "transit"

	// Timeout bounds every request, waiting for the first login included.
	// 0 means 5 s.
	Timeout time.Duration

	// Transport carries the requests. nil means one of our own that trusts
	// the system's certificate authorities.
	Transport http.RoundTripper

	// Observer is told of every request, logins and renewals too. nil is
	// observe.Nobody.
	Observer observe.Observer

	// The identities this process has. nil means that it may not do what
	// takes that role; at least one is required. What logs in as Eraser may
	// serve as Data too.
	Data        Login // Unwrap
	Eraser      Login // Wrap above version 1, Rotate, Latest, Retire
	Provisioner Login // Create, Wrap under version 1, Destroy
}

const (
	defaultMount   = "transit"
	defaultTimeout = 5 * time.Second
)

// Provider is a keytree.Provider on a transit engine. It never repeats a
// request of its own accord: whether that is safe, the caller knows.
type Provider struct {
	mount    string
	timeout  time.Duration
	sessions map[Role]*session
	stop     context.CancelFunc
}

var _ keytree.Provider = (*Provider)(nil)

// ErrRoot: the name does not have the form of a root, "t-" and 26 characters
// of lower-case base32. No request was made.
var ErrRoot = errors.New("hashivault: malformed root name")

var (
	errConfig  = errors.New("hashivault: configuration needs an address and at least one login")
	errMount   = errors.New("hashivault: malformed mount path")
	errVersion = errors.New("hashivault: versions are numbered from 1")
	errNoKey   = errors.New("hashivault: no key to wrap")
)

var (
	rootForm  = regexp.MustCompile(`^t-[a-z2-7]{26}$`)
	mountForm = regexp.MustCompile(`^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$`)
)

// New starts to log in and returns at once: a Vault that is down or sealed now
// may be up when it is needed. The logins are kept until ctx ends or Close.
func New(ctx context.Context, c Config) (*Provider, error) {
	c, mount, err := c.complete()
	if err != nil {
		return nil, err
	}
	if c.Observer == nil {
		c.Observer = observe.Nobody
	}
	p := &Provider{mount: mount, timeout: c.Timeout, sessions: make(map[Role]*session)}
	for role, login := range map[Role]Login{Data: c.Data, Eraser: c.Eraser, Provisioner: c.Provisioner} {
		if login == nil {
			continue
		}
		s, err := newSession(c.as(role), login)
		if err != nil {
			return nil, fmt.Errorf("hashivault: client for role %s: %w", role, err)
		}
		p.sessions[role] = s
	}
	ctx, p.stop = context.WithCancel(ctx)
	for _, s := range p.sessions {
		go s.run(ctx) // ends with ctx; Close waits for it
	}
	return p, nil
}

// complete checks c, and gives it with its defaults, and the mount.
func (c Config) complete() (_ Config, mount string, err error) {
	if c.Address == "" || c.Data == nil && c.Eraser == nil && c.Provisioner == nil {
		return c, "", errConfig
	}
	mount = strings.Trim(orElse(c.Mount, defaultMount), "/")
	if !mountForm.MatchString(mount) {
		return c, "", errMount
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Transport == nil {
		c.Transport = newTransport()
	}
	return c, mount, nil
}

// Close ends the logins' upkeep. Calls after it report ErrUnavailable.
func (p *Provider) Close() error {
	p.stop()
	for _, s := range p.sessions {
		<-s.done
	}
	return nil
}

// newTransport is Go's default with room for many requests to one host.
func newTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 64
	return t
}

// newClient gives a client without a token. It does not retry, and follows the
// redirect of a standby, once.
func newClient(c Config) (*api.Client, error) {
	client, err := api.NewClient(&api.Config{
		Address: c.Address,
		Timeout: c.Timeout,
		HttpClient: &http.Client{
			Transport:     c.Transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	})
	if err != nil {
		return nil, err
	}
	// What the client has taken from VAULT_* variables goes again.
	headers := http.Header{}
	headers.Set(api.RequestHeaderName, "true")
	if c.Namespace != "" {
		headers.Set(api.NamespaceHeaderName, c.Namespace)
	}
	client.SetHeaders(headers)
	client.SetWrappingLookupFunc(func(string, string) string { return "" })
	client.ClearToken()
	return client, nil
}

// A request is one operation on one root, in one role.
type request struct {
	op   string // for errors
	role Role
	root keytree.Root
}

// do is the one way to Vault: it checks the root's name, takes the role's
// token and the time limit, and turns whatever fails into a keytree error.
func (p *Provider) do(ctx context.Context, r request, send func(context.Context, *api.Logical) error) error {
	if !rootForm.MatchString(string(r.root)) {
		return fmt.Errorf("%s: %w", r.op, ErrRoot)
	}
	s := p.sessions[r.role]
	if s == nil {
		return fmt.Errorf("hashivault: %s %s: this process has no login as %s: %w", r.op, r.root, r.role, keytree.ErrUnavailable)
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	token, err := s.token(ctx)
	if err != nil {
		return fmt.Errorf("hashivault: %s %s: %w", r.op, r.root, err)
	}
	err = send(ctx, s.client.Logical())
	if err == nil {
		return nil
	}
	if status, _ := classify(err); status == http.StatusForbidden {
		s.refused(token)
	}
	return fault(ctx, r, err)
}
