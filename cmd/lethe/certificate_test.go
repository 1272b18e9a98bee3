package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// selfSigned writes a certificate for 127.0.0.1 and its key, and gives the
// flags that name them.
func selfSigned(t *testing.T, dir string, serial int64) []string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return []string{"--tls-cert", certFile, "--tls-key", keyFile}
}

// serial is that of the certificate that addr shows to a client of a version.
func serial(t *testing.T, addr string, version uint16) int64 {
	t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(addr, "https://"), &tls.Config{
		InsecureSkipVerify: true, MaxVersion: version, NextProtos: []string{"h2", "http/1.1"},
	})
	if err != nil {
		return 0
	}
	defer conn.Close()
	if p := conn.ConnectionState().NegotiatedProtocol; p != "http/1.1" {
		t.Errorf("speaks %q, want http/1.1", p)
	}
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// The main job over TLS, by the program itself.
func TestTLS(t *testing.T) {
	t.Parallel()
	dir, pair := filepath.Join(t.TempDir(), "data"), t.TempDir()
	s := startServer(t, dir, selfSigned(t, pair, 1)...)
	if !strings.HasPrefix(s.at.S3, "https://") || !strings.HasPrefix(s.at.API, "https://") || s.at.CA == "" {
		t.Fatalf("ready at %+v, want https", s.at)
	}
	answers[map[string]any](t, "tenant", "create", "acme", "--data", dir)
	answers[map[string]any](t, "bucket", "create", "calls", "--tenant", "acme", "--min-class", "D", "--data", dir)
	rec := answers[struct {
		Access string `json:"access_key"`
		Secret string `json:"secret_key"`
	}](t, "recorder", "create", "r", "--tenant", "acme", "--bucket", "calls", "--data", dir)
	file := filepath.Join(pair, "call.wav")
	if err := os.WriteFile(file, bytes.Repeat([]byte("RIFF"), 50_000), 0o600); err != nil {
		t.Fatal(err)
	}
	keys := []string{"--access-key", rec.Access, "--secret-key", rec.Secret}
	answers[map[string]any](t, append([]string{"put", file, "--bucket", "calls", "--name", "a", "--data", dir}, keys...)...)
	answers[map[string]any](t, append([]string{"put", file, "--bucket", "calls", "--name", "b", "--s3", s.at.S3, "--ca", s.at.CA}, keys...)...)
	put := append([]string{"put", file, "--bucket", "calls", "--name", "c", "--s3", s.at.S3}, keys...)
	if status, _, errs := lethe(t, put...); status != failed || !strings.Contains(errs, "certificate") {
		t.Errorf("put without --ca: status %d: %s", status, errs)
	}
	if status, _, _ := lethe(t, append(put, "--ca", file)...); status != misuse {
		t.Errorf("put with a --ca that is none: status %d, want %d", status, misuse)
	}
}

// A pair that is replaced is served without a restart; one that is no pair is not.
func TestCertificateIsReloaded(t *testing.T) {
	t.Parallel()
	pair := t.TempDir()
	s := startServer(t, filepath.Join(t.TempDir(), "data"), selfSigned(t, pair, 1)...)
	if got := serial(t, s.at.S3, tls.VersionTLS13); got != 1 {
		t.Errorf("serial %d, want 1", got)
	}
	if got := serial(t, s.at.API, tls.VersionTLS12); got != 1 {
		t.Errorf("TLS 1.2: serial %d, want 1", got)
	}
	if got := serial(t, s.at.S3, tls.VersionTLS11); got != 0 {
		t.Errorf("TLS 1.1 is accepted")
	}
	wait := func(want int64) {
		t.Helper()
		time.Sleep(lookEvery + 100*time.Millisecond)
		if got := serial(t, s.at.S3, tls.VersionTLS13); got != want {
			t.Errorf("serial %d, want %d", got, want)
		}
	}
	selfSigned(t, pair, 2)
	wait(2)
	if err := os.WriteFile(filepath.Join(pair, "key.pem"), []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	wait(2)
	if err := os.Remove(filepath.Join(pair, "cert.pem")); err != nil {
		t.Fatal(err)
	}
	wait(2)
	selfSigned(t, pair, 3)
	wait(3)
	s.stop()
	if !strings.Contains(s.log.String(), "new certificate not used") {
		t.Errorf("the bad pair is not in the log: %s", s.log)
	}
}

func TestTLSFlags(t *testing.T) {
	pair := t.TempDir()
	flags := selfSigned(t, pair, 1)
	for name, args := range map[string][]string{"a certificate alone": flags[:2], "a key alone": flags[2:]} {
		if status, _, errs := lethe(t, append([]string{"serve", "--data", t.TempDir()}, args...)...); status != misuse || !strings.Contains(errs, "--tls-key") {
			t.Errorf("%s: status %d: %s", name, status, errs)
		}
	}
}

// One address has only so many connections, and gets room when it closes one.
func TestConnectionsOfAnAddress(t *testing.T) {
	t.Parallel()
	s := startServer(t, filepath.Join(t.TempDir(), "data"), "--max-connections", "2")
	dial := func() net.Conn {
		c, err := net.Dial("tcp", s.at.S3)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	answered := func(c net.Conn) bool {
		c.SetDeadline(time.Now().Add(2 * time.Second))
		c.Write([]byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n"))
		n, _ := c.Read(make([]byte, 1))
		return n == 1
	}
	first, second, third := dial(), dial(), dial()
	if !answered(first) || !answered(second) || answered(third) {
		t.Error("want the first two connections served, and not the third")
	}
	first.Close()
	third.Close()
	again := dial()
	for deadline := time.Now().Add(5 * time.Second); !answered(again) && time.Now().Before(deadline); again = dial() {
		again.Close()
	}
	if !answered(again) {
		t.Error("no room after one of two connections was closed")
	}
	again.Close()
	second.Close()
}
