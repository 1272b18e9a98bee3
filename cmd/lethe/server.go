package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// The files by which a server's directory says how to reach it.
const (
	serverFile = "server.json"
	ownerFile  = "owner.token"
)

// server is where a server listens, as DIR/server.json holds it.
type server struct {
	S3  string `json:"s3,omitempty"`  // HOST:PORT, or https://HOST:PORT; "" without the role front
	API string `json:"api,omitempty"` // as S3
	Ops string `json:"ops"`           // HOST:PORT
	CA  string `json:"ca,omitempty"`  // file of the certificate that S3 and API show, which --data makes a client trust
}

// of gives the field for a listener's address.
func (s *server) of(listener string) *string {
	switch listener {
	case "s3":
		return &s.S3
	case "api":
		return &s.API
	}
	return &s.Ops
}

// errNoServer is that a directory is not one of a server.
var errNoServer = errors.New("no server has run")

// readServer reads what the server of a directory has written.
func readServer(dir string) (server, error) {
	var s server
	b, err := os.ReadFile(filepath.Join(dir, serverFile))
	if errors.Is(err, fs.ErrNotExist) {
		return s, fmt.Errorf("%w in %s", errNoServer, dir)
	}
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("%s is damaged; start the server anew to have it written", filepath.Join(dir, serverFile))
	}
	return s, nil
}

func (s server) write(dir string) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(dir, serverFile), append(b, '\n'))
}

// minToken is the shortest owner token accepted, in characters: a directory
// that holds less was cut short.
const minToken = 32

// readToken reads a token from a file of its own.
func readToken(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(b))
	if len(token) < minToken {
		return "", fmt.Errorf("%s holds no token of at least %d characters", path, minToken)
	}
	return token, nil
}

// ensureToken reads the token at path, or draws one of 256 bits and keeps it
// there. The caller holds the directory, so no one else draws at the same time.
func ensureToken(path string) (string, error) {
	token, err := readToken(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return token, err
	}
	var b [32]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	token = base64.RawURLEncoding.EncodeToString(b[:])
	return token, replaceFile(path, []byte(token+"\n"))
}

// replaceFile writes a file that only its owner can read, whole or not at all,
// and durably.
func replaceFile(path string, content []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".lethe-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // gone already when it was renamed
	_, err = tmp.Write(content)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
