package system

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"strings"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
)

// VaultRequests counts the requests that Vault has received, by path, without
// those by which its clients log in and stay so. It reads Vault's own audit log.
func (s *System) VaultRequests() map[string]int {
	s.t.Helper()
	f, err := os.Open(s.Vault.AuditLog)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	requests := map[string]int{}
	for lines := bufio.NewReader(f); ; {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF && len(requests) > 0 {
			return requests // and line, if any, is still being written
		}
		var entry struct {
			Type    string
			Request struct{ Path string }
		}
		if err != nil || json.Unmarshal(line, &entry) != nil {
			s.t.Fatalf("Vault's audit log shows nothing: %v", err)
		}
		if entry.Type == "request" && !strings.HasPrefix(entry.Request.Path, "auth/") {
			requests[entry.Request.Path]++
		}
	}
}

// Oldest is what Vault said of a root's key, and when.
type Oldest struct {
	At      time.Time
	Version int // nothing older is available
}

// Oldests gives what Vault has answered about a root's key, by its own audit log. A
// line that Vault was killed in is passed over.
func (s *System) Oldests(root keytree.Root) (all []Oldest) {
	s.t.Helper()
	log, err := os.ReadFile(s.Vault.AuditLog)
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		var entry struct {
			Time     time.Time
			Response struct {
				Data struct {
					Oldest int `json:"min_available_version"`
				}
			}
		}
		ours := strings.Contains(line, "transit/keys/"+string(root))
		if ours && json.Unmarshal([]byte(line), &entry) == nil && entry.Response.Data.Oldest > 0 {
			all = append(all, Oldest{entry.Time, entry.Response.Data.Oldest})
		}
	}
	return all
}
