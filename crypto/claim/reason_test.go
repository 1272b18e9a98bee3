package claim_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/crypto/claim"
)

func TestCheckReason(t *testing.T) {
	for reason, ok := range map[string]bool{
		"x":                             true,
		"Art. 17 GDPR":                  true,
		"Löschung nach Art. 17 DSGVO":   true,
		"ticket 123456":                 true,
		"123456 and 789012":             true,
		strings.Repeat("ä", 128):        true,
		"":                              false,
		strings.Repeat("ä", 129):        false,
		"two\nlines":                    false,
		"a\u202ecba":                    false,
		"\xff":                          false,
		"1234567":                       false,
		"caller +49 30 123456":          false,
		"(030) 12-34.56":                false,
		"030/1234_567":                  false,
		"12, 34, 56, 7":                 false,
		"٠١٢٣٤٥٦":                       false,
		"①②③④⑤⑥⑦":                       false,
		"0\u0336301\u03362345\u0336678": false, // struck out
	} {
		if err := claim.CheckReason(reason); (err == nil) != ok || err != nil && !errors.Is(err, claim.ErrReason) {
			t.Errorf("CheckReason(%q) = %v, want taken: %v", reason, err, ok)
		}
	}
}
