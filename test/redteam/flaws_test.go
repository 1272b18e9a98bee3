package redteam

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/test/decryptor"
)

// The script is worth what the thief confirms: a number, by each of these mistakes, with
// what he has when he may confirm none.
func TestMistakesAreFound(t *testing.T) {
	t.Parallel()
	var known, secret claim.Salt // of an erasure that he asked for himself, and of hers
	rand.Read(known[:])
	rand.Read(secret[:])
	hash, index := sha256.Sum256([]byte(erased)), decryptor.Index(secret, "subject", erased)
	all := unsalted(known[:])
	for name, c := range map[string]struct {
		stolen string
		found  bool
	}{
		"a salt of zeros":      {certified(t, claim.Salt{}), true},
		"a salt used again":    {certified(t, known), true},
		"a hash":               {fmt.Sprintf("subject %x was erased", hash), true},
		"a hash, cut short":    {fmt.Sprintf("subject=%X", hash[:part]), true},
		"a salt of its own":    {certified(t, secret), false},
		"an index without key": {fmt.Sprintf("%x", index), false},
	} {
		th := &thief{t: t, dir: t.TempDir()}
		th.put("stolen", []byte(c.stolen))
		if found := th.confirmed(all); len(found[erased]) > 0 != c.found || len(found) > 1 {
			t.Errorf("%s confirms %v", name, found)
		}
	}
}

// certified is of a certificate for an erasure of hers what commits to it.
func certified(t *testing.T, salt claim.Salt) string {
	t.Helper()
	c, err := claim.Commitment(salt, claim.Scope{Kind: claim.OfSubject, Subject: erased})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"scope":{"kind":"subject","commitment":"%x"}}`, c)
}
