package clients

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/test/servers"
	"github.com/lethe-vault/lethe/test/system"
	"github.com/lethe-vault/lethe/test/telephony"
)

// TestClients has every client put, get, seek in, list, head and delete
// recordings over HTTP. Those that send something else over TLS, or are told
// of certificates in a way of their own, do it over TLS too, and some on a
// system that is scaled out. TestRecorder and TestCut take all over TLS.
func TestClients(t *testing.T) {
	calls := telephony.Short(t, t.TempDir())
	for _, on := range []struct {
		name  string
		start func(testing.TB) *system.System
		kinds []kind
	}{
		{"http", system.Embedded, kinds},
		{"tls", system.Secure, pick("aws-cli", "rclone", "aws-sdk-js", "aws-sdk-js-lib-storage", "aws-sdk-go-v2-transfermanager")},
		{"scaled", scaled, pick("aws-cli", "rclone", "aws-sdk-js-lib-storage", "aws-sdk-go-v2-transfermanager")},
	} {
		t.Run(on.name, func(t *testing.T) {
			s := on.start(t)
			lethe(t, s, nil, "tenant", "create", tenant)
			for _, k := range on.kinds {
				at := newSite(t, s, "calls-"+k.name)
				t.Run(k.name, func(t *testing.T) {
					t.Parallel()
					mainJob(t, k, k.connect(t, at), calls)
				})
			}
		})
	}
}

func scaled(t testing.TB) *system.System {
	t.Helper()
	return system.On(t, servers.SharedVault(t), servers.SharedMinIO(t), servers.SharedPostgreSQL(t))
}

// names are what recorders and people call recordings.
var names = []string{
	"2026/11/24/call-000001.wav",
	"2026/11/24/100%25 of + & more='(1)'~.wav",
	"Jürgen Groß/звонок ☎/deep/er/still.wav",
}

func mainJob(t *testing.T, k kind, c client, calls []telephony.Call) {
	ctx := t.Context()
	var all []string
	for i, name := range names {
		call := calls[i%len(calls)]
		if err := c.put(ctx, call.Path, name); err != nil {
			t.Fatalf("put: %v", err)
		}
		all = append(all, entry(call.Size, name))
	}
	expectList(t, c, "", all)
	expectList(t, c, "2026/", all[:2])
	for i, name := range names {
		expectContent(t, c, name, calls[i%len(calls)])
	}
	expectSpans(t, k, c, names[0], calls[0])
	expectSize(t, c, names[1], calls[1].Size)
	if err := c.remove(ctx, names[1]); err != nil {
		t.Fatalf("remove: %v", err)
	}
	expectList(t, c, "", slices.Delete(all, 1, 2))
}

// expectList compares a listing with entries, whatever their order: some
// clients sort them again.
func expectList(t *testing.T, c client, prefix string, entries []string) {
	t.Helper()
	got, err := c.list(t.Context(), prefix)
	if err != nil {
		t.Errorf("list %q: %v", prefix, err)
		return
	}
	got, want := slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(entries))
	if !slices.Equal(got, want) {
		t.Errorf("list %q =\n%s\nwant\n%s", prefix, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func expectContent(t *testing.T, c client, name string, call telephony.Call) {
	t.Helper()
	back := filepath.Join(t.TempDir(), "back.wav")
	if err := c.get(t.Context(), name, back); err != nil {
		t.Errorf("get %q: %v", name, err)
		return
	}
	if got, want := digest(t, back), digest(t, call.Path); got != want {
		t.Errorf("get %q: SHA-256 is %s, want %s", name, got, want)
	}
}

func expectSpans(t *testing.T, k kind, c client, name string, call telephony.Call) {
	t.Helper()
	content, err := os.ReadFile(call.Path)
	if err != nil {
		t.Fatal(err)
	}
	last := call.Size - 1
	for _, s := range []span{{100, 40_000}, {last - 6, last}} {
		if k.spans == fromHere && s.last != last {
			continue
		}
		got, err := c.span(t.Context(), name, s)
		if err != nil || !bytes.Equal(got, content[s.first:s.last+1]) {
			t.Errorf("bytes %d to %d: %d bytes, %v", s.first, s.last, len(got), err)
		}
	}
}

func expectSize(t *testing.T, c client, name string, want int64) {
	t.Helper()
	if got, err := c.size(t.Context(), name); got != want || err != nil {
		t.Errorf("size of %q = %d, %v; want %d", name, got, err, want)
	}
}
