package claim_test

import (
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/lethe-vault/lethe/crypto/claim"
)

var scopes = []struct {
	claim.Scope
	json string
}{
	{claim.Scope{Kind: claim.OfRecording, Bucket: "calls", Name: "2026/a \"b\"\\\n\x01<ü\u2028>.wav"}, `{"bucket":"calls","name":"2026/a \"b\"\\\n\u0001<ü` + "\u2028" + `>.wav","scope":"recording"}`},
	{claim.Scope{Kind: claim.OfVersion, Bucket: "calls", Name: "a", Version: "00112233445566778899aabbccddeeff"}, `{"bucket":"calls","name":"a","scope":"version","version":"00112233445566778899aabbccddeeff"}`},
	{claim.Scope{Kind: claim.OfSubject, Subject: "+49301234567"}, `{"scope":"subject","subject":"+49301234567"}`},
	{claim.Scope{Kind: claim.OfDay, Class: "90d", Date: "2026-12-31"}, `{"class":"90d","date":"2026-12-31","scope":"day"}`},
	{claim.Scope{Kind: claim.OfTenant, Tenant: "aaaqeayeaudaocajbifqydiob4"}, `{"scope":"tenant","tenant":"aaaqeayeaudaocajbifqydiob4"}`},
}

func TestScopeJSON(t *testing.T) {
	for _, s := range scopes {
		if got, err := s.JSON(); err != nil || string(got) != s.json {
			t.Errorf("%s: %s, %v; want %s", s.Kind, got, err, s.json)
		}
	}
	for _, s := range []claim.Scope{
		{}, {Kind: "galaxy"}, {Kind: claim.OfSubject}, {Subject: "s"}, {Kind: claim.OfRecording, Name: "a"},
		{Kind: claim.OfSubject, Subject: "s", Tenant: "t"}, {Kind: claim.OfSubject, Subject: "\xff"},
		{Kind: claim.OfVersion, Bucket: "calls", Name: "a", Version: "00112233445566778899AABBCCDDEEFF"},
		{Kind: claim.OfDay, Class: "090d", Date: "2026-12-31"}, {Kind: claim.OfDay, Class: "90d", Date: "2026-12-32"},
		{Kind: claim.OfTenant, Tenant: "acme"},
	} {
		if got, err := s.JSON(); !errors.Is(err, claim.ErrScope) {
			t.Errorf("%+v: %s, %v", s, got, err)
		}
	}
}

// A commitment is what docs/certificates.md says, and opens by its own only.
func TestCommitment(t *testing.T) {
	for _, s := range scopes {
		want := sha256.Sum256([]byte("lethe/v1/scope" + string(salt[:]) + s.json))
		got, err := claim.Commitment(salt, s.Scope)
		if err != nil || got != want {
			t.Errorf("%s: %x, %v; want %x", s.Kind, got, err, want)
		}
		c := claim.Committed{Kind: s.Kind, Commitment: hexOf(got)}
		if err := c.OpenCommitment(salt, s.Scope); err != nil {
			t.Errorf("%s: %v", s.Kind, err)
		}
		other := salt
		other[31] ^= 1
		if err := c.OpenCommitment(other, s.Scope); !errors.Is(err, claim.ErrCommitment) {
			t.Errorf("%s, another salt: %v", s.Kind, err)
		}
		for _, o := range scopes {
			if err := c.OpenCommitment(salt, o.Scope); (err == nil) != (o.Kind == s.Kind) {
				t.Errorf("%s opened as %s: %v", s.Kind, o.Kind, err)
			}
		}
	}
	c := claim.Committed{Kind: claim.OfDay, Commitment: example(t).Scope.Commitment}
	if err := c.OpenCommitment(salt, subject); !errors.Is(err, claim.ErrCommitment) {
		t.Errorf("a subject's commitment, said to be a day's: %v", err)
	}
	if _, err := claim.ParseSalt(hash("5a") + "00"); err == nil {
		t.Error("a salt of 33 bytes")
	}
}
