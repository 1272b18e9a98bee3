package config

import (
	"maps"
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
	return has || slices.ContainsFunc(slices.Collect(maps.Keys(u.Query())), secretParameter)
}

// secretParameter reports whether a parameter of a database's URL is a password:
// of the user, or of the key of its certificate.
func secretParameter(name string) bool { return strings.Contains(strings.ToLower(name), "password") }

const hidden = "[hidden]"

// hidePassword is a database's URL as it may be shown. A password that was not
// escaped can lie in any part of it.
func hidePassword(database string) string {
	if strings.HasPrefix(database, "sqlite:") {
		return database
	}
	u, err := url.Parse(database)
	if err != nil || u.Host == "" || u.Fragment != "" || strings.Contains(u.Path+u.RawQuery, "@") {
		return hidden
	}
	return hideIn(u, secretParameter)
}

// hideAccess is the URL of another server as it may be shown: without a user, who
// may be a token, and without what its parameters say.
func hideAccess(server string) string {
	if !strings.ContainsAny(server, "@?#") { // also of what is no URL
		return server
	}
	u, err := url.Parse(server)
	if err != nil || u.Host == "" || u.Fragment != "" || strings.Contains(u.Path, "@") {
		return hidden
	}
	if u.User != nil {
		u.User = url.User("xxxxx")
	}
	return hideIn(u, func(string) bool { return true })
}

// hideIn is u without its password and the values of secret parameters.
func hideIn(u *url.URL, secret func(parameter string) bool) string {
	q := u.Query()
	for name := range q {
		if secret(name) {
			q.Set(name, "xxxxx")
		}
	}
	u.RawQuery = q.Encode()
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
