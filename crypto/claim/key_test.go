package claim_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/crypto/claim"
)

func TestNewKey(t *testing.T) {
	a, b := claim.NewKey(), claim.NewKey()
	s, err := claim.NewSigner(config(a))
	if err != nil || bytes.Equal(a, b) {
		t.Fatalf("%v; the same twice: %v", err, bytes.Equal(a, b))
	}
	back, err := claim.ParsePublicKey(s.PublicKey().PEM())
	if err != nil || back.ID() != s.PublicKey().ID() {
		t.Errorf("%v, %v", back, err)
	}
	if _, err := back.Verify(signed(t, s, example(t))); err != nil {
		t.Error(err)
	}
}

// What prints a signer prints no key.
func TestSignerDoesNotPrint(t *testing.T) {
	file := claim.NewKey()
	s, err := claim.NewSigner(config(file))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := pem.Decode(file)
	seed := b.Bytes[len(b.Bytes)-4:]
	for _, verb := range []string{"%v", "%+v", "%#v"} {
		printed := fmt.Sprintf(verb, s)
		for _, form := range []string{fmt.Sprint(seed), fmt.Sprintf("%#v", seed)} {
			form = strings.Trim(strings.TrimPrefix(form, "[]byte"), "[{}]")
			if strings.Contains(printed, form) {
				t.Errorf("%s: %q in %s", verb, form, printed)
			}
		}
	}
}

func TestKeysRefused(t *testing.T) {
	good, public := claim.NewKey(), file(t, "ed25519.pub")
	for name, key := range map[string][]byte{
		"nothing": nil, "a public key": public, "two": append(bytes.Clone(good), good...), "text behind": append(bytes.Clone(good), "x"...),
		"another block": bytes.ReplaceAll(good, []byte("PRIVATE"), []byte("EC PRIVATE")),
		"P-384":         pkcs8(t, elliptic.P384()), "damaged": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}),
	} {
		if _, err := claim.NewSigner(config(key)); !errors.Is(err, claim.ErrKey) {
			t.Errorf("to sign, %s: %v", name, err)
		}
	}
	for name, key := range map[string][]byte{
		"nothing": nil, "a private key": good, "two": append(bytes.Clone(public), public...),
		"another block": bytes.ReplaceAll(public, []byte("PUBLIC KEY"), []byte("CERTIFICATE")),
		"damaged":       pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")}),
	} {
		if _, err := claim.ParsePublicKey(key); !errors.Is(err, claim.ErrKey) {
			t.Errorf("to verify, %s: %v", name, err)
		}
	}
}

func pkcs8(t *testing.T, curve elliptic.Curve) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}
