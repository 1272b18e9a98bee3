package gateway

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/policy"
)

// Caller is who asks, from where and why. It comes first in every method, so
// that nothing can be asked without saying who is asking. Only a front's one
// verifier makes a Caller, by way of Credential.Caller or Token.
type Caller struct {
	policy.Principal
	Who     string // access key, or the role of a token; stands in logs
	Purpose string // why, where the request or the credential says so
	From    string // address of the workstation
	Agent   string // its program, as it names itself
	Request string // the request id the client is given

	tenant catalog.Tenant // as it was when the credential was looked up
}

// Credential is an S3 key pair as a front's verifier needs it.
type Credential struct {
	policy.Principal
	AccessKey string
	Secret    Secret
	Purpose   string

	tenant catalog.Tenant
}

// Caller is whoever proved to hold the credential. The front adds where they
// are and what their request says of itself.
func (c Credential) Caller() Caller {
	return Caller{Principal: c.Principal, Who: c.AccessKey, Purpose: c.Purpose, tenant: c.tenant}
}

// Secret is an S3 secret key or a token. It does not print, log or marshal.
type Secret struct{ s string }

// NewSecret hides s.
func NewSecret(s string) Secret { return Secret{s} }

// Reveal gives the secret to a MAC, or to the one answer that shows it once.
func (s Secret) Reveal() string { return s.s }

const redacted = "[secret]"

// Format hides the secret from every verb. fmt does not ask it for a secret in
// an unexported field, so a struct that holds one is not printed either.
func (Secret) Format(s fmt.State, _ rune) { io.WriteString(s, redacted) }

// LogValue hides the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText writes the redaction, never the secret.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
