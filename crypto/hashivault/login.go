package hashivault

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/hashicorp/vault/api"
)

// A Login gets a token from Vault: Token, TokenFile, AppRole or JWT.
type Login interface {
	// login asks through c, which has no token, and may set one on it.
	login(ctx context.Context, c *api.Client) (*api.SecretAuth, error)
}

// Token is a token given once. It is renewed while Vault allows it and cannot
// be replaced after that. It does not print.
type Token string

const hidden = "[token]"

// String hides the token.
func (Token) String() string { return hidden }

// GoString hides the token.
func (Token) GoString() string { return hidden }

// LogValue hides the token.
func (Token) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText hides the token.
func (Token) MarshalText() ([]byte, error) { return []byte(hidden), nil }

func (t Token) login(ctx context.Context, c *api.Client) (*api.SecretAuth, error) {
	c.SetToken(string(t))
	self, err := c.Auth().Token().LookupSelfWithContext(ctx)
	if err != nil {
		return nil, err
	}
	ttl, err := self.TokenTTL()
	if err != nil {
		return nil, err
	}
	renewable, err := self.TokenIsRenewable()
	if err != nil {
		return nil, err
	}
	return &api.SecretAuth{ClientToken: string(t), LeaseDuration: int(ttl / time.Second), Renewable: renewable}, nil
}

// TokenFile is the path of a file that holds a token, such as an agent's sink.
// A token put there later is taken up within seconds.
type TokenFile string

func (f TokenFile) login(ctx context.Context, c *api.Client) (*api.SecretAuth, error) {
	token, err := readSecret(string(f))
	if err != nil {
		return nil, err
	}
	return Token(token).login(ctx, c)
}

// replaced reports whether the file now holds another token than the one given.
func (f TokenFile) replaced(token string) bool {
	now, err := readSecret(string(f))
	return err == nil && now != token
}

// AppRole logs in with Vault's AppRole method.
type AppRole struct {
	Mount        string // where the method is mounted; "" means "approle"
	RoleID       string
	SecretIDFile string // read anew at each login
}

func (a AppRole) login(ctx context.Context, c *api.Client) (*api.SecretAuth, error) {
	secret, err := readSecret(a.SecretIDFile)
	if err != nil {
		return nil, err
	}
	return authenticate(ctx, c, orElse(a.Mount, "approle"), map[string]any{"role_id": a.RoleID, "secret_id": secret})
}

// JWT logs in with a signed token of the platform: Vault's JWT and Kubernetes
// methods speak the same.
type JWT struct {
	Mount string // where the method is mounted; "" means "jwt", usual for Kubernetes is "kubernetes"
	Role  string
	File  string // the platform's token, read anew at each login
}

func (j JWT) login(ctx context.Context, c *api.Client) (*api.SecretAuth, error) {
	token, err := readSecret(j.File)
	if err != nil {
		return nil, err
	}
	return authenticate(ctx, c, orElse(j.Mount, "jwt"), map[string]any{"role": j.Role, "jwt": token})
}

var errNoToken = errors.New("hashivault: login gave no token")

func authenticate(ctx context.Context, c *api.Client, mount string, body map[string]any) (*api.SecretAuth, error) {
	secret, err := c.Logical().WriteWithContext(ctx, "auth/"+mount+"/login", body)
	if err != nil {
		return nil, err
	}
	if secret == nil || secret.Auth == nil || secret.Auth.ClientToken == "" {
		return nil, errNoToken
	}
	return secret.Auth, nil
}

var errCredential = errors.New("its credential file cannot be read")

// readSecret reads a file that holds one token or secret, and trims it.
func readSecret(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", errCredential
	}
	return string(bytes.TrimSpace(b)), nil
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
