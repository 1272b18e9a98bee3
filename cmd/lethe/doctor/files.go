package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/lethe-vault/lethe/finding"
)

// A secret is a file that only the server should read.
type secret struct {
	key  string // of the settings
	file string
}

// secrets are those that the settings name.
func (s Subject) secrets() (all []secret) {
	c, v := s.Config, s.Config.Vault
	for _, f := range []secret{
		{"owner-token-file", cmp.Or(c.OwnerToken, filepath.Join(c.Data, "owner.token"))},
		{"tls.key", c.TLS.Key},
		{"certificates.key-file", c.Certificates.KeyFile},
		{"catalog.password-file", c.Catalog.PasswordFile},
		{"store.secret-key-file", c.Store.SecretKeyFile},
		{"vault.token-file", v.TokenFile},
		{"vault.data.secret-id-file", v.Data.SecretIDFile},
		{"vault.data.jwt-file", v.Data.JWTFile},
		{"vault.eraser.secret-id-file", v.Eraser.SecretIDFile},
		{"vault.eraser.jwt-file", v.Eraser.JWTFile},
		{"vault.provisioner.secret-id-file", v.Provisioner.SecretIDFile},
		{"vault.provisioner.jwt-file", v.Provisioner.JWTFile},
	} {
		if f.file != "" {
			all = append(all, f)
		}
	}
	return all
}

// files looks at the data directory, and at every file that holds a secret.
func (s Subject) files(context.Context) (l finding.List) {
	s.directory(&l)
	closed := 0
	for _, f := range s.secrets() {
		found := f.look(s.Config.OwnerToken == "" && f.key == "owner-token-file")
		if found.Level == finding.OK {
			closed++
			continue
		}
		l = append(l, found)
	}
	if closed > 0 {
		l.OK("files.secrets", fmt.Sprintf("%d files of secrets are readable, and closed to others", closed))
	}
	if in := s.inEnvironment(); len(in) > 0 {
		l.Advise("files.environment", "in the environment, where crash reports and child processes get it, stands "+strings.Join(in, " and "), "put each in a file that only the server may read, and name that file")
	}
	return l
}

// look judges one file. One that is drawn at the first start may be missing.
func (f secret) look(drawn bool) finding.Finding {
	check := "files.secrets"
	info, err := os.Stat(f.file)
	if drawn && errors.Is(err, fs.ErrNotExist) {
		return finding.Finding{Check: check, Level: finding.Skipped, What: f.file + " is not there yet", Do: "start lethe serve, which draws it"}
	}
	if err == nil {
		err = readable(f.file)
	}
	open := fs.FileMode(0)
	if err == nil {
		open = info.Mode().Perm() & 0o077
	}
	name := f.key + ": " + f.file
	if strings.HasSuffix(f.key, "jwt-file") {
		open &= 0o022 // the platform writes it as it likes, for an hour
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return finding.Finding{Check: check, Level: finding.Failure, What: name + " is not there", Do: "put the secret there, or correct " + f.key + "; the credentials directory of a systemd unit is there only while it runs"}
	case err != nil:
		return finding.Finding{Check: check, Level: finding.Failure, What: name + " cannot be read: " + reason(err), Do: "let the user that lethe serve runs as own it, with mode 0600"}
	case info.Size() == 0:
		return finding.Finding{Check: check, Level: finding.Failure, What: name + " is empty", Do: "put the secret there"}
	case open&0o007 != 0:
		return finding.Finding{Check: check, Level: finding.Failure, What: fmt.Sprintf("%s is open to everyone on this machine (mode %#o)", name, info.Mode().Perm()), Do: "chmod 0600 " + f.file + ", and replace the secret if others have been here"}
	case open&0o022 != 0 || foreign(info):
		return finding.Finding{Check: check, Level: finding.Warning, What: name + " can be changed by others than the server", Do: "let root or the user that lethe serve runs as own it, with mode 0600"}
	case open != 0:
		return finding.Finding{Check: check, Level: finding.Advice, What: fmt.Sprintf("%s is open to its group (mode %#o)", name, info.Mode().Perm()), Do: "see that nobody else is in the group, or chmod 0600 " + f.file}
	}
	return finding.Finding{Check: check, Level: finding.OK}
}

// foreign reports whether a file belongs to neither this user nor root. Root
// looks for others, and does not know whom the server runs as.
func foreign(info fs.FileInfo) bool {
	owner, ok := info.Sys().(*syscall.Stat_t)
	return ok && os.Geteuid() != 0 && owner.Uid != 0 && int(owner.Uid) != os.Geteuid()
}

func readable(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	return f.Close()
}

// reason leaves the path out.
func reason(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}

// inEnvironment names the secrets that did not come from a file of their own.
func (s Subject) inEnvironment() (names []string) {
	c := s.Config
	if c.Store.SecretKey != "" && c.Store.SecretKeyFile == "" {
		names = append(names, "store.secret-key")
	}
	if c.Vault.Token != "" {
		names = append(names, "vault.token")
	}
	if u, err := url.Parse(c.Catalog.URL); err == nil {
		if _, has := u.User.Password(); has {
			names = append(names, "the password in catalog.url")
		}
	}
	return names
}
