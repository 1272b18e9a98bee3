package config

import (
	"net/url"
	"slices"
	"strings"
)

// check is what keys must agree on.
func (s *Settings) check() (found Problems) {
	for _, rule := range []func(*Settings) []Problem{
		(*Settings).checkTLS, (*Settings).checkCatalog, (*Settings).checkStore, (*Settings).checkVault, (*Settings).checkRoles,
	} {
		found = append(found, rule(s)...)
	}
	return found
}

// needs says that path must be given, and why.
func (s *Settings) needs(path, why string) Problem {
	k, _ := keyAt(path)
	return Problem{Key: path, Problem: why + "; give " + k.names()}
}

func (s *Settings) checkTLS() []Problem {
	switch {
	case s.TLS.Cert == "" && s.TLS.Key != "":
		return []Problem{s.needs("tls.cert", "tls.key (--tls-key) is given, and no certificate")}
	case s.TLS.Cert != "" && s.TLS.Key == "":
		return []Problem{s.needs("tls.key", "the certificate has no private key")}
	}
	return nil
}

func (s *Settings) checkCatalog() []Problem {
	const key = "catalog.url"
	sqlite := s.Catalog.URL == "" || strings.HasPrefix(s.Catalog.URL, "sqlite:")
	switch {
	case s.Catalog.PasswordFile != "" && sqlite:
		return []Problem{s.problem("catalog.password-file", "SQLite has no password; leave it out, or give a postgres:// URL in %s", key)}
	case s.Catalog.PasswordFile != "" && password(s.Catalog.URL):
		return []Problem{s.problem(key, "holds a password, and so does catalog.password-file; leave it out here")}
	case s.origins[key].layer == fromFile && password(s.Catalog.URL):
		return []Problem{s.problem(key, "holds a password, which does not belong in this file; put it in a file that only the server may read, and name that in catalog.password-file")}
	}
	return nil
}

// password reports whether the URL of a database holds a password.
func password(database string) bool {
	u, err := url.Parse(database)
	if err != nil {
		return false
	}
	_, has := u.User.Password()
	return has || u.Query().Has("password")
}

// hidePassword is a URL as it may be shown. Of what has no place for a user, nothing
// is shown if it may hold a password all the same.
func hidePassword(written string) string {
	u, err := url.Parse(written)
	if err != nil || u.Host == "" {
		if strings.Contains(written, "@") || strings.Contains(written, "password") {
			return "[hidden]"
		}
		return written
	}
	if q := u.Query(); q.Has("password") {
		q.Set("password", "xxxxx")
		u.RawQuery = q.Encode()
	}
	return u.Redacted()
}

func (s *Settings) checkStore() (found []Problem) {
	store := s.Store
	if store.Embedded() {
		return nil
	}
	if store.Bucket == "" {
		found = append(found, s.needs("store.bucket", "which bucket?"))
	}
	if store.Kind == "s3" && store.Endpoint == "" {
		found = append(found, s.needs("store.endpoint", "a store of kind s3 has one"))
	}
	if store.SecretKey != "" && store.SecretKeyFile != "" {
		found = append(found, s.problem("store.secret-key", "given, and store.secret-key-file too; leave one out"))
	}
	return found
}

// checkVault finds identities that could not log in, or would be for nothing.
func (s *Settings) checkVault() (found []Problem) {
	for name, id := range map[string]Identity{"data": s.Vault.Data, "eraser": s.Vault.Eraser, "provisioner": s.Vault.Provisioner} {
		at := "vault." + name + "."
		switch {
		case id.RoleID != "" && id.JWTRole != "":
			found = append(found, s.problem(at+"jwt-role", "given, and %srole-id too; leave one out", at))
		case id.RoleID != "" && id.SecretIDFile == "":
			found = append(found, s.needs(at+"secret-id-file", "the AppRole logs in with a secret id"))
		case id.JWTRole != "" && id.JWTFile == "" && s.Vault.Data.JWTFile == "":
			found = append(found, s.needs(at+"jwt-file", "the role logs in with a token of the platform"))
		}
		if s.Vault.Address == "" && (id.RoleID != "" || id.JWTRole != "") {
			found = append(found, s.needs("vault.address", "there is an identity at Vault ("+name+"), and no Vault"))
		}
	}
	return found
}

// checkRoles finds roles that could not do their work.
func (s *Settings) checkRoles() (found []Problem) {
	found = s.checkIdentities()
	if !s.apart() {
		return found
	}
	const shared = "a process with some of the roles shares it with those that have the others"
	if s.Vault.Address == "" {
		found = append(found, s.needs("vault.address", shared))
	}
	if s.Store.Embedded() {
		found = append(found, s.needs("store.bucket", shared))
	}
	if s.Catalog.URL == "" || strings.HasPrefix(s.Catalog.URL, "sqlite:") {
		found = append(found, s.needs("catalog.url", shared))
	}
	return found
}

// checkIdentities finds what the process's roles need at Vault and do not have.
func (s *Settings) checkIdentities() (found []Problem) {
	v := s.Vault
	if v.Address == "" || v.TokenFile != "" || v.Token != "" {
		return nil
	}
	if !v.Data.Given() && !(s.Has("eraser") && v.Eraser.Given()) {
		found = append(found, s.needs("vault.data.role-id", "no identity at Vault can decrypt"))
	}
	if s.Has("eraser") && !v.Provisioner.Given() {
		found = append(found, s.needs("vault.provisioner.role-id", "role eraser makes and destroys tenants' keys, and has no identity for it"))
	}
	return found
}

// apart reports that other processes have some of the roles.
func (s *Settings) apart() bool {
	return slices.ContainsFunc([]string{"front", "eraser", "sweeper"}, func(r string) bool { return !s.Has(r) })
}

// Has reports whether the process has a role.
func (c Config) Has(role string) bool { return slices.Contains(c.Roles, role) }
