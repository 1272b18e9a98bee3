package doctor_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/finding"
)

// pair makes a certificate that signs itself, and gives its files.
func pair(t *testing.T, from, until time.Time, names ...string) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: until, DNSNames: names}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for path, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestCertificate(t *testing.T) {
	now, year := time.Now(), 365*24*time.Hour
	both := []string{"s3.example", "*.s3.example"}
	for name, c := range map[string]struct {
		from, until time.Time
		names       []string
		want        map[string]finding.Level
	}{
		"good": {now.Add(-time.Hour), now.Add(year), both, map[string]finding.Level{
			"tls.pair": finding.OK, "tls.expiry": finding.OK, "tls.names": finding.OK, "tls.chain": finding.Advice, "files.secrets": finding.Skipped}},
		"ended":       {now.Add(-year), now.Add(-time.Hour), both, map[string]finding.Level{"tls.expiry": finding.Failure}},
		"ending":      {now.Add(-year), now.Add(time.Hour), both, map[string]finding.Level{"tls.expiry": finding.Warning}},
		"to come":     {now.Add(time.Hour), now.Add(year), both, map[string]finding.Level{"tls.expiry": finding.Failure}},
		"no wildcard": {now.Add(-time.Hour), now.Add(year), both[:1], map[string]finding.Level{"tls.names": finding.Warning}},
	} {
		t.Run(name, func(t *testing.T) {
			cert, key := pair(t, c.from, c.until, c.names...)
			wants(t, examine(t, settings(t, "--tls-cert", cert, "--tls-key", key, "--s3-domain", "s3.example", "--listen-s3", ":9000")), c.want)
		})
	}
	cert, _ := pair(t, now, now.Add(year), both...)
	_, other := pair(t, now, now.Add(year), both...)
	wants(t, examine(t, settings(t, "--tls-cert", cert, "--tls-key", other)), map[string]finding.Level{"tls.pair": finding.Failure, "tls.expiry": ""})
	wants(t, examine(t, settings(t, "--tls-cert", "/nonexistent", "--tls-key", other)), map[string]finding.Level{"tls.pair": finding.Failure, "tls.expiry": ""})
}
