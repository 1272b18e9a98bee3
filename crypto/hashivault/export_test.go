package hashivault

import (
	"encoding/json"

	"github.com/lethe-vault/lethe/finding"
)

// Classify is what turns the client's errors into keytree's.
var Classify = classify

// CheckVersion judges what sys/health answers.
func CheckVersion(answer string) (finding.Finding, error) {
	var h health
	err := json.Unmarshal([]byte(answer), &h)
	return checkVersion(h), err
}
