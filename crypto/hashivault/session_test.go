package hashivault_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/lethe-vault/lethe/crypto/hashivault"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/test/servers"
)

// token makes a token with the data policy at Vault.
func (s site) token(t *testing.T, ttl string, renewable bool) string {
	t.Helper()
	secret, err := s.Client(t).Auth().Token().Create(&api.TokenCreateRequest{
		Policies: []string{"lethe-data"}, NoDefaultPolicy: true, TTL: ttl, Renewable: &renewable,
	})
	if err != nil {
		t.Fatal(err)
	}
	return secret.Auth.ClientToken
}

// A reader unwraps one key again and again.
type reader struct {
	*hashivault.Provider
	root    keytree.Root
	wrapped []byte
}

// reader opens s with that data login alone, on a root made for it.
func (s site) reader(t *testing.T, login hashivault.Login) reader {
	t.Helper()
	root, wrapped := wrap(t, open(t, s.config))
	return reader{open(t, hashivault.Config{Address: s.Addr, Data: login}), root, wrapped}
}

func (r reader) read(t *testing.T) error {
	_, err := r.Unwrap(t.Context(), r.root, r.wrapped, []byte("bind"))
	return err
}

// livesFor fails unless every read of that time succeeds.
func (r reader) livesFor(t *testing.T, d time.Duration) {
	t.Helper()
	for began := time.Now(); time.Since(began) < d; time.Sleep(50 * time.Millisecond) {
		if err := r.read(t); err != nil {
			t.Fatalf("after %v: %v", time.Since(began), err)
		}
	}
}

// recovers waits until a read succeeds; until then only ErrUnavailable will do.
func (r reader) recovers(t *testing.T, within time.Duration) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		err := r.read(t)
		if err == nil {
			return
		}
		if !errors.Is(err, keytree.ErrUnavailable) || time.Since(began) > within {
			t.Fatalf("after %v: %v", time.Since(began), err)
		}
	}
}

// tune sets how long the tokens of an AppRole live.
func (s site) tune(t *testing.T, name string, settings map[string]any) hashivault.AppRole {
	t.Helper()
	id, secret := s.AppRole(t, name, "lethe-data")
	if _, err := s.Client(t).Logical().Write("auth/approle/role/"+name, settings); err != nil {
		t.Fatal(err)
	}
	return hashivault.AppRole{RoleID: id, SecretIDFile: keep(t, secret)}
}

// Tokens that live for seconds, one of each kind, serve for eight of them
// without a failed request.
func TestShortLivedTokens(t *testing.T) {
	t.Parallel()
	s := build(t, servers.SharedVault(t))
	readers := map[string]reader{
		"given once":  s.reader(t, hashivault.Token(s.token(t, "6s", true))),
		"renewable":   s.reader(t, s.tune(t, "renewable", map[string]any{"token_ttl": "6s"})),
		"limited":     s.reader(t, s.tune(t, "limited", map[string]any{"token_ttl": "6s", "token_max_ttl": "9s"})),
		"unrenewable": s.reader(t, s.tune(t, "unrenewable", map[string]any{"token_ttl": "10s", "token_type": "batch"})),
	}
	for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(50 * time.Millisecond) {
		for name, r := range readers {
			if err := r.read(t); err != nil {
				t.Fatalf("%s: after %v: %v", name, time.Since(began), err)
			}
		}
	}
}

func TestRevokedTokenIsReplaced(t *testing.T) {
	t.Parallel()
	s := build(t, servers.SharedVault(t))
	spy := &tokenSpy{}
	s.config.Transport = spy
	p := open(t, s.config)
	root, wrapped := wrap(t, p)
	r := reader{p, root, wrapped}
	for range 2 {
		if err := r.read(t); err != nil {
			t.Fatal(err)
		}
		if err := s.Client(t).Auth().Token().RevokeTree(spy.last.Load().(string)); err != nil {
			t.Fatal(err)
		}
		if err := r.read(t); !errors.Is(err, keytree.ErrUnavailable) {
			t.Fatalf("Unwrap with a revoked token: %v, want ErrUnavailable", err)
		}
		r.recovers(t, 10*time.Second)
	}
}

// tokenSpy keeps the token of the last decrypt request.
type tokenSpy struct{ last atomic.Value }

func (s *tokenSpy) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(r.URL.Path, "/v1/transit/decrypt/") {
		s.last.Store(r.Header.Get("X-Vault-Token"))
	}
	return http.DefaultTransport.RoundTrip(r)
}

func TestTokenFileIsReread(t *testing.T) {
	t.Parallel()
	s := build(t, servers.SharedVault(t))
	first := s.token(t, "1h", true)
	path := keep(t, first)
	r := s.reader(t, hashivault.TokenFile(path))
	if err := r.read(t); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(s.token(t, "1h", true)), 0o600); err != nil {
		t.Fatal(err)
	}
	time.Sleep(4 * time.Second)
	if err := s.Client(t).Auth().Token().RevokeTree(first); err != nil {
		t.Fatal(err)
	}
	r.livesFor(t, time.Second) // it is on the second token already
}

// A login that cannot succeed says why, at once, and is not repeated faster
// than its floor.
func TestFailingLogins(t *testing.T) {
	t.Parallel()
	s := build(t, servers.SharedVault(t))
	for reason, login := range map[string]hashivault.Login{
		"login status 400":                   hashivault.AppRole{RoleID: "nobody", SecretIDFile: keep(t, "nothing")},
		"login status 403":                   hashivault.Token("hvs.wrong"),
		"its credential file cannot be read": hashivault.JWT{Role: "r", File: "/nonexistent"},
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			count := new(counter)
			p := open(t, hashivault.Config{Address: s.Addr, Data: login, Transport: count})
			_, wrapped := wrap(t, open(t, s.config))
			for began := time.Now(); time.Since(began) < 3*time.Second; time.Sleep(100 * time.Millisecond) {
				_, err := p.Unwrap(t.Context(), "t-aaaaaaaaaaaaaaaaaaaaaaaaaa", wrapped, nil)
				if !errors.Is(err, keytree.ErrUnavailable) || !strings.Contains(err.Error(), reason) {
					t.Fatalf("Unwrap: %v, want ErrUnavailable and %q", err, reason)
				}
			}
			if n := count.auth.Load(); n > 2 { // at 0 and 2 seconds; the next would be at 6
				t.Fatalf("%d logins in 3 s", n)
			}
		})
	}
}

// A role whose policy refuses is a permission error at every request; the
// session must not answer each with a login.
func TestForbiddenIsNoLoginStorm(t *testing.T) {
	t.Parallel()
	s := build(t, servers.SharedVault(t))
	root, wrapped := wrap(t, open(t, s.config))
	count := new(counter)
	p := open(t, hashivault.Config{Address: s.Addr, Data: s.config.Provisioner, Transport: count})
	for began := time.Now(); time.Since(began) < 3*time.Second; time.Sleep(20 * time.Millisecond) {
		if _, err := p.Unwrap(t.Context(), root, wrapped, nil); !errors.Is(err, keytree.ErrUnavailable) {
			t.Fatalf("Unwrap: %v, want ErrUnavailable", err)
		}
	}
	if n := count.auth.Load(); n > 8 { // each login is followed by one renewal
		t.Fatalf("%d requests to auth/ in 3 s", n)
	}
}

// JWT and Kubernetes logins are the same request at another mount.
func TestJWTLogin(t *testing.T) {
	t.Parallel()
	s := build(t, servers.SharedVault(t))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s.JWTRole(t, "front", publicPEM(t, key), "lethe", "lethe-data")
	path := keep(t, sign(t, key, map[string]any{"aud": "lethe", "sub": "front-1", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}))
	r := s.reader(t, hashivault.JWT{Role: "front", File: path})
	if err := r.read(t); err != nil {
		t.Fatal(err)
	}

	wrong := keep(t, sign(t, key, map[string]any{"aud": "another", "sub": "front-1", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}))
	if err := s.reader(t, hashivault.JWT{Role: "front", File: wrong}).read(t); !errors.Is(err, keytree.ErrUnavailable) {
		t.Fatalf("Unwrap after a login for another audience: %v, want ErrUnavailable", err)
	}
}

func publicPEM(t *testing.T, key *ecdsa.PrivateKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// sign makes a JWT in ES256 (RFC 7515, RFC 7518 section 3.4).
func sign(t *testing.T, key *ecdsa.PrivateKey, claims map[string]any) string {
	t.Helper()
	body, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding
	signed := b64.EncodeToString([]byte(`{"alg":"ES256","typ":"JWT"}`)) + "." + b64.EncodeToString(body)
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signed + "." + b64.EncodeToString(signature)
}

func TestTokenDoesNotPrint(t *testing.T) {
	token := hashivault.Token("hvs.secret")
	text, err := json.Marshal(map[string]any{"login": token})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{string(text), fmt.Sprint(token), fmt.Sprintf("%#v %+v %q", token, token, token), token.LogValue().String()} {
		if strings.Contains(s, "secret") {
			t.Fatalf("a token was printed: %s", s)
		}
	}
}

// Calls after Close are refused, and Close does not wait for anything.
func TestClose(t *testing.T) {
	s := build(t, servers.SharedVault(t))
	p := open(t, s.config)
	root, wrapped := wrap(t, p)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Unwrap(t.Context(), root, wrapped, []byte("bind")); !errors.Is(err, keytree.ErrUnavailable) {
		t.Fatalf("Unwrap after Close: %v, want ErrUnavailable", err)
	}
}
