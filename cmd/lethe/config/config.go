// Package config is how lethe serve is set up: by flags, environment variables
// and one YAML file, the earlier of these before the later, and defaults last.
//
// One table, keys, says everything about every setting; help, reference,
// checks and what serve runs on come from it. To add a setting, add a field to
// Config and a row to the table, and run go test with -update to have the
// reference in docs/ follow. What several keys must agree on is in check.go.
//
// The package reads settings and opens nothing that they name.
package config

import (
	"log/slog"
	"time"
)

// Config is what lethe serve runs on. The rows of keys say what its fields mean.
type Config struct {
	Data       string
	Roles      []string
	OwnerToken string // file

	Listen    Listen
	TLS       TLS
	S3        S3
	Limits    Limits
	Uploads   Uploads
	Sweep     Sweep
	Retention Retention
	Reindex   Reindex
	Shutdown  Shutdown
	Log       Log
	Trace     Trace

	Catalog Catalog
	Store   Store
	Vault   Vault

	Certificates Certificates
	Backups      Backups
}

// Listen are the addresses of the listeners.
type Listen struct{ S3, API, Ops string }

// TLS names the pair that the S3 front and the REST API show.
type TLS struct{ Cert, Key string }

// S3 is how the S3 front speaks.
type S3 struct {
	Domains    []string
	PresignMax time.Duration
}

// Limits are how much of the server each client may use.
type Limits struct {
	InFlight    int
	Connections int
}

// Uploads are those in parts.
type Uploads struct{ StaleAfter time.Duration }

// Sweep is when what was left behind is swept up.
type Sweep struct {
	Period time.Duration
	Lease  time.Duration
	Late   time.Duration
}

// Reindex is when rows move to another generation of blind indexes.
type Reindex struct{ Every time.Duration }

// Retention is when what has passed is erased.
type Retention struct{ Hour int }

// Shutdown is how a server ends.
type Shutdown struct {
	Delay time.Duration
	Drain time.Duration
}

// Log is what is logged.
type Log struct {
	Level     slog.Level
	Access    bool
	Addresses bool
}

// Trace is where spans go, and of how many requests. An empty endpoint traces
// nothing.
type Trace struct {
	Endpoint string
	Ratio    float64
}

// Catalog is the database. An empty URL is SQLite in the data directory.
type Catalog struct {
	URL          string
	PasswordFile string
}

// Store is a bucket of an S3 store. Without any of it, blobs lie in the data
// directory.
type Store struct {
	Kind          string
	Endpoint      string
	Bucket        string
	Region        string
	Insecure      bool
	AccessKey     string
	SecretKey     string
	SecretKeyFile string
}

// Embedded reports that no store is named.
func (s Store) Embedded() bool { return s.Kind == "" && s.Endpoint == "" && s.Bucket == "" }

// Vault is a Vault or OpenBao, and who we are there. Without an address, keys
// lie in the data directory.
type Vault struct {
	Address   string
	Namespace string
	Mount     string

	AppRoleMount string
	JWTMount     string
	TokenFile    string
	Token        string

	Data        Identity
	Eraser      Identity
	Provisioner Identity
}

// Identity is how one role logs in at Vault: by AppRole, by JWT, or by neither.
type Identity struct {
	RoleID       string
	SecretIDFile string
	JWTRole      string
	JWTFile      string
}

// Given reports that there is a way to log in.
func (i Identity) Given() bool { return i.RoleID != "" || i.JWTRole != "" }

// Certificates are those of erasures. Without a file, the key that signs them lies
// in the data directory.
type Certificates struct {
	KeyFile   string
	OlderKeys []string // ids, of which the key in use is the last
}

// Backups says how what others hold for us is backed up, as far as it is told.
type Backups struct{ Catalog, Store, Vault Backup }

// Backup is how often copies are made, and how long each is kept. Vault's are
// kept as long as an erased key could be brought back.
type Backup struct {
	Told  bool
	Every time.Duration // 0: no copies are made
	Kept  time.Duration
}
