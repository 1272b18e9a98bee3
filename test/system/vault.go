package system

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"strings"
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
