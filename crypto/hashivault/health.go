package hashivault

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/lethe-vault/lethe/finding"
)

// health is what Vault says of itself to everyone.
type health struct {
	Initialized bool   `json:"initialized"`
	Sealed      bool   `json:"sealed"`
	Standby     bool   `json:"standby"`
	Version     string `json:"version"`
	// Enterprise is said by Vault from 1.17 on, and not by OpenBao, which parted
	// before that.
	Enterprise *bool `json:"enterprise"`
}

// health reports whether there is any use in logging in.
func (k *checkup) health(ctx context.Context) bool {
	h, err := k.askHealth(ctx)
	switch {
	case err != nil:
		k.Fail("vault.reach", "Vault cannot be reached: "+said(ctx, err), "see vault.address, the network, and that the certificate is one that this machine trusts")
		return false
	case !h.Initialized:
		k.Fail("vault.reach", "Vault is not initialised", "initialise it: vault operator init")
		return false
	case h.Sealed:
		k.Fail("vault.reach", "Vault is sealed", "unseal it; until then nothing is served")
		return false
	case h.Standby:
		k.OK("vault.reach", "Vault answers as a standby, which hands on what it is asked")
	default:
		k.OK("vault.reach", "Vault answers and is unsealed")
	}
	k.List = append(k.List, checkVersion(h))
	return true
}

func (k *checkup) askHealth(ctx context.Context) (h health, err error) {
	c := k.config
	c.Namespace = "" // it is asked of the server, not of a part of it
	client, err := newClient(c)
	if err != nil {
		return h, err
	}
	fine := []string{"299"} // or else states of health would be errors
	answer, err := client.Logical().ReadRawWithDataWithContext(ctx, "sys/health", map[string][]string{
		"standbycode": fine, "perfstandbyok": {"true"}, "drsecondarycode": fine, "sealedcode": fine, "uninitcode": fine,
	})
	if err != nil {
		return h, err
	}
	defer answer.Body.Close()
	return h, answer.DecodeJSON(&h)
}

// said says why there was no answer, without what Vault may have said.
func said(ctx context.Context, err error) string {
	if status, _ := classify(err); status != 0 {
		return fmt.Sprintf("status %d", status)
	}
	if ctx.Err() != nil {
		return "no answer in time"
	}
	return err.Error() // of the network, naming the address
}

// flaws are those that Lethe's own conduct does not rule out, and the first
// version of a line that has none of them.
var flaws = []struct {
	bao         bool
	since, then version
	name        string
	do          string
}{
	{false, version{}, version{1, 20, 3}, "CVE-2025-6203: a complex JSON body stops the server", "update Vault"},
	{false, version{}, version{1, 21, 0}, "CVE-2025-12044: the same, past the rate limits", "update Vault; Enterprise has it fixed in 1.16.27, 1.19.11 and 1.20.5 too"},
	{false, version{}, version{1, 21, 5}, "CVE-2026-5807 (HCSEC-2026-08): anyone who reaches Vault may disturb generate-root and rekey", "update Vault, or let only Lethe and administrators reach it"},
	{true, version{2, 2, 0}, version{2, 4, 2}, "CVE-2025-62513 and CVE-2025-62705: its audit log may hold what it should hide", "update OpenBao"},
}

func checkVersion(h health) finding.Finding {
	const check = "vault.version"
	v, ok := parseVersion(h.Version)
	if !ok {
		return finding.Finding{Check: check, Level: finding.Skipped, What: "Vault does not tell its version", Do: "see that it is a version that is still maintained"}
	}
	bao := h.Enterprise == nil && v.major >= 2
	name := "Vault"
	if bao {
		name = "OpenBao"
	}
	name += fmt.Sprintf(" %d.%d.%d", v.major, v.minor, v.patch)
	for i := len(flaws) - 1; i >= 0; i-- { // the newest, whose remedy is that of the older ones too
		if f := flaws[i]; f.bao == bao && !v.before(f.since) && v.before(f.then) {
			return finding.Finding{Check: check, Level: finding.Warning, What: name + " has " + f.name, Do: f.do}
		}
	}
	return finding.Finding{Check: check, Level: finding.OK, What: name + " has no flaw that this version of Lethe knows of"}
}

type version struct{ major, minor, patch int }

func (v version) before(w version) bool {
	if v.major != w.major {
		return v.major < w.major
	}
	if v.minor != w.minor {
		return v.minor < w.minor
	}
	return v.patch < w.patch
}

// parseVersion reads 1.21.0, 1.20.3+ent and 2.0.0-rc1.
func parseVersion(s string) (v version, ok bool) {
	s, _, _ = strings.Cut(s, "+")
	s, _, _ = strings.Cut(s, "-")
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return v, false
	}
	for i, to := range []*int{&v.major, &v.minor, &v.patch} {
		n, err := strconv.Atoi(parts[i])
		if err != nil {
			return v, false
		}
		*to = n
	}
	return v, true
}
