package hashivault_test

import (
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/crypto/hashivault"
	"github.com/lethe-vault/lethe/finding"
)

func TestCheckVersion(t *testing.T) {
	for answer, want := range map[string]struct {
		level finding.Level
		says  string
	}{
		`{"version":"1.20.2","enterprise":false}`:    {finding.Warning, "Vault 1.20.2 has CVE-2026-5807"},
		`{"version":"1.21.4+ent","enterprise":true}`: {finding.Warning, "Vault 1.21.4 has CVE-2026-5807"},
		`{"version":"1.21.5","enterprise":false}`:    {finding.OK, "Vault 1.21.5"},
		`{"version":"1.14.0"}`:                       {finding.Warning, "Vault 1.14.0"},
		`{"version":"2.0.0","enterprise":false}`:     {finding.OK, "Vault 2.0.0"},
		`{"version":"2.4.1"}`:                        {finding.Warning, "OpenBao 2.4.1 has CVE-2025-62513"},
		`{"version":"2.1.0"}`:                        {finding.OK, "OpenBao 2.1.0"},
		`{"version":"2.6.2"}`:                        {finding.OK, "OpenBao 2.6.2"},
		`{"version":"main"}`:                         {finding.Skipped, "does not tell"},
		`{}`:                                         {finding.Skipped, "does not tell"},
	} {
		if f, err := hashivault.CheckVersion(answer); err != nil || f.Level != want.level || !strings.Contains(f.What, want.says) {
			t.Errorf("%s: %+v, %v", answer, f, err)
		}
	}
}
