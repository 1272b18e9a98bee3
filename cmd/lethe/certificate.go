package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificate is a pair of PEM files that may be replaced while it is served.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu     sync.Mutex // guards what follows
	now    *tls.Certificate
	seen   [2]stamp  // of the files, when they were last read
	looked time.Time // when they were last looked at
}

// stamp tells one content of a file from the next.
type stamp struct {
	modified time.Time
	size     int64
}

// lookEvery is how long a certificate is served before its files are looked at
// again.
const lookEvery = time.Second

// openCertificate reads the two files, which have to belong together.
func openCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log, looked: time.Now()}
	var err error
	if c.seen, err = c.stamps(); err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert and --tls-key: %w", err)
	}
	c.now = &pair
	return c, nil
}

// config is that of a server: TLS 1.2 and newer, and HTTP/1.1 alone. With
// HTTP/2 one connection would carry many requests, and the limits here, on
// connections and on how slow each side of one may be, would bound nothing.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current(), nil },
	}
}

// current gives the pair in the files. While they are not a pair, as between
// the replacement of one and of the other, it gives the last that was.
func (c *certificate) current() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < lookEvery {
		return c.now
	}
	c.looked = time.Now()
	seen, err := c.stamps()
	if err == nil && seen == c.seen {
		return c.now
	}
	if err == nil {
		c.seen = seen
		var pair tls.Certificate
		if pair, err = tls.LoadX509KeyPair(c.certFile, c.keyFile); err == nil {
			c.now = &pair
			c.log.Info("certificate replaced")
			return c.now
		}
	}
	c.log.Error("new certificate not used; the old one still is", "error", err)
	return c.now
}

func (c *certificate) stamps() (s [2]stamp, err error) {
	for i, path := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(path)
		if err != nil {
			return s, err
		}
		s[i] = stamp{info.ModTime(), info.Size()}
	}
	return s, nil
}

// trust gives the certificates that a file adds to those a client trusts
// already, or those alone if there is no file.
func trust(file string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if file == "" {
		return c, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if c.RootCAs, err = x509.SystemCertPool(); err != nil {
		return nil, err
	}
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New(file + " holds no certificate in PEM")
	}
	return c, nil
}
