package decryptor_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/test/decryptor"
)

// docs/keys.md, Filed anew.
func TestFilingsOpen(t *testing.T) {
	for provider, open := range providers {
		t.Run(provider, func(t *testing.T) { testFilingsOpen(t, open(t)) })
	}
}

func testFilingsOpen(t *testing.T, v vault) {
	tenant := v.Tenant("acme").Tenant
	u := gatewaytest.Upload(calls, "held.wav", noise(1, 1000))
	u.Metadata = map[string]string{"lethe-subject": "+49 30 1234567"}
	v.put(v.recorder("acme", gateway.BucketSettings{Name: calls}), u)
	tree, blob := v.only(tenant)
	want, err := tree.DEK(blob)
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.Hold(t.Context(), v.Operator(), "acme", gateway.HoldRequest{Bucket: calls, Name: "held.wav", Reason: "case"})
	if err == nil { // by which it is filed under nobody's
		_, err = v.EraseFor(t.Context(), v.Operator(), "acme", gateway.ErasureRequest{Subject: "+49301234567", Reason: "request"})
	}
	v.Gateway.Close() // its epoch is over or does not begin
	if err != nil {
		t.Fatal(err)
	}
	for key, b := range v.stored("refiled/") {
		f, err := decryptor.ParseFiling(b)
		if err != nil || f.Key() != key || f.Identity != [48]byte(blob[16:64]) || f.Slots[1].Number != 0 || f.Intended == 0 {
			t.Fatalf("ParseFiling(%s) = %+v, %v", key, f, err)
		}
		tree := v.tree(tenant)
		open := func(b []byte) (dek [32]byte, facts []byte, err error) {
			f, err := decryptor.ParseFiling(b)
			if err == nil {
				dek, err = tree.Unwrap(f.Wrap)
			}
			if err == nil {
				facts, err = decryptor.Facts(dek, f.Identity, f.Facts)
			}
			return dek, facts, err
		}
		if got, facts, err := open(b); err != nil || got != want || !strings.Contains(string(facts), "+49301234567") {
			t.Errorf("the filing opens another key, or other facts %s: %v", facts, err)
		}
		for i := range b {
			if i >= 80 && i < 88 { // the time, which nothing seals
				continue
			}
			b[i] ^= 1
			if _, _, err := open(b); !refused(err) && !errors.Is(err, decryptor.ErrPunctured) {
				t.Errorf("byte %d of a filing changed: %v, want a refusal", i, err)
			}
			b[i] ^= 1
		}
		for what, b := range map[string][]byte{"cut": b[:len(b)-1], "without facts": b[:148], "cut before": b[:147], "extended": join(b, []byte{0})} {
			if _, _, err := open(b); !refused(err) {
				t.Errorf("a filing, %s: %v, want a refusal", what, err)
			}
		}
	}
}
