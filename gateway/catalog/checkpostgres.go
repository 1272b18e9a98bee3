package catalog

import (
	"context"
	"crypto/tls"
	"database/sql"
	"net"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
)

// checkEncryption looks at how the catalog is reached, and whether it proves who
// it is.
func (s *Survey) checkEncryption(dsn string) {
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return // open says so
	}
	ways := []*tls.Config{cfg.TLSConfig}
	for _, f := range cfg.Fallbacks {
		ways = append(ways, f.TLSConfig)
	}
	plain, unverified := false, false
	for _, way := range ways {
		plain = plain || way == nil
		unverified = unverified || way != nil && way.InsecureSkipVerify && way.VerifyPeerCertificate == nil
	}
	const do = "add sslmode=verify-full to catalog.url, and sslrootcert=FILE if its certificate is of an authority of yours"
	switch {
	case isLocal(cfg.Host):
		s.OK("catalog.tls", "the catalog is on this machine")
	case plain:
		s.Fail("catalog.tls", "the catalog may be spoken to without TLS across the network", do)
	case unverified:
		s.Warn("catalog.tls", "whoever answers in the catalog's place is believed", do)
	default:
		s.OK("catalog.tls", "the catalog is reached over TLS and proves who it is")
	}
}

func isLocal(host string) bool {
	if filepath.IsAbs(host) || host == "localhost" { // the former is a socket
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// oldest is the oldest version of PostgreSQL that is still maintained.
const oldest = 140000

// settings are those of a PostgreSQL server on which durability hangs. A setting
// that a relative of PostgreSQL does not know is "".
type settings struct {
	version                              int
	fsync, pages, commit, sums, standbys string
	superuser, recovering                bool
}

func (s *Survey) checkSettings(ctx context.Context, db *sql.DB) {
	var v settings
	err := db.QueryRowContext(ctx, `SELECT current_setting('server_version_num')::int,
		coalesce(current_setting('fsync', true), ''), coalesce(current_setting('full_page_writes', true), ''),
		coalesce(current_setting('synchronous_commit', true), ''), coalesce(current_setting('data_checksums', true), ''),
		coalesce(current_setting('synchronous_standby_names', true), ''),
		coalesce((SELECT rolsuper FROM pg_roles WHERE rolname = current_user), false), pg_is_in_recovery()`).
		Scan(&v.version, &v.fsync, &v.pages, &v.commit, &v.sums, &v.standbys, &v.superuser, &v.recovering)
	if err != nil {
		s.Skip("catalog.durability", "the server does not tell its settings: "+explain(ctx, err).Error(), "see that it syncs each commit to disk before it acknowledges it")
		return
	}
	s.judgeServer(v)
	s.judgeDurability(v)
}

func (s *Survey) judgeServer(v settings) {
	if v.version < oldest {
		s.Warn("catalog.version", "PostgreSQL is a version that is not maintained any more", "update it to 14 or newer")
	} else {
		s.OK("catalog.version", "PostgreSQL is a maintained version")
	}
	if v.recovering {
		s.Fail("catalog.primary", "this server is a standby, which takes no writes", "name the primary in catalog.url, or several hosts with target_session_attrs=read-write")
	}
	if v.superuser {
		s.Advise("catalog.role", "the role of catalog.url is a superuser", "make a role that owns this one database: CREATE ROLE lethe LOGIN; ALTER DATABASE … OWNER TO lethe")
	} else {
		s.OK("catalog.role", "the role of catalog.url is no superuser")
	}
}

func (s *Survey) judgeDurability(v settings) {
	lost := "a power cut loses recordings that were acknowledged, or the whole database"
	sound := true
	for _, is := range []struct{ name, value string }{{"fsync", v.fsync}, {"full_page_writes", v.pages}, {"synchronous_commit", v.commit}} {
		if is.value == "off" {
			s.Fail("catalog.durability", is.name+" is off: "+lost, "set "+is.name+" = on for the server, the database and the role")
			sound = false
		}
	}
	if sound {
		s.OK("catalog.durability", "each commit is on disk before it is acknowledged")
	}
	if v.sums == "off" {
		s.Advise("catalog.checksums", "data checksums are off: a disk that rots is noticed late", "stop the server and run pg_checksums --enable")
	}
	if strings.TrimSpace(v.standbys) == "" {
		s.Advise("catalog.standby", "no standby is waited for: the loss of this machine's disk takes what is newer than the last backup", "set synchronous_standby_names, or archive the write-ahead log all the time")
	}
}
