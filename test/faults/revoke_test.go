package faults_test

import (
	"errors"
	"io"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/test/system"
)

// How soon a revocation, and its undoing, must hold on every replica.
const (
	refusedWithin  = 5 * time.Second
	restoredWithin = 5 * time.Second
)

// TestRevoke revokes, restores and erases a tenant on one of two replicas.
func TestRevoke(t *testing.T) {
	t.Parallel()
	v := newReplicas(t)
	v.refusedAfter("revoke", "AccessDenied")
	if err := v.told.Lethe(nil, "tenant", "restore", "acme"); err != nil {
		t.Fatal(err)
	}
	v.works()
	v.refusedAfter("erase", "InvalidAccessKeyId")
	var answer struct{ State string }
	if err := v.told.Lethe(&answer, "tenant", "erase", "acme", "--wait"); err != nil || answer.State != "erased" {
		t.Errorf("erase: %+v, %v", answer, err)
	}
	v.keyIsGone()
	for _, r := range v.all {
		r.refuses(t, v.short, "InvalidAccessKeyId")
	}
	if err := v.told.Lethe(nil, "tenant", "restore", "acme"); err == nil {
		t.Error("an erased tenant can be restored")
	}
}

// replicas are two servers of one vault with one tenant, who has the
// recordings a.wav and long.wav. One is told what to do; the other must find out.
type replicas struct {
	t           *testing.T
	told        *system.System
	all         []replica
	short, long content
	root        string // the tenant's key at Vault
}

// replica is one server as the tenant's clients see it.
type replica struct {
	name             string
	s                *system.System
	keys             system.Keys // the recorder's
	recorder, reader client
}

func newReplicas(t *testing.T) *replicas {
	v := &replicas{t: t, told: system.Scaled(t), short: newContent(500_000), long: newContent(100_000_000)}
	recorder, reader := v.told.Pair("acme", "calls")
	for name, s := range map[string]*system.System{"told": v.told, "other": v.told.Replica()} {
		v.all = append(v.all, replica{name, s, recorder, newClient(t, s.S3, recorder, "calls"), newClient(t, s.S3, reader, "calls")})
	}
	for name, what := range map[string]content{"a.wav": v.short, "long.wav": v.long} {
		if err := v.all[0].recorder.put(t.Context(), name, what); err != nil {
			t.Fatal(err)
		}
	}
	v.root = v.onlyKey()
	return v
}

// onlyKey gives the name of the one key that Vault has.
func (v *replicas) onlyKey() string {
	v.t.Helper()
	list, err := v.told.Vault.Client(v.t).Logical().List("transit/keys")
	if err != nil || list == nil {
		v.t.Fatalf("keys of Vault: %v, %v", list, err)
	}
	keys, _ := list.Data["keys"].([]any)
	if len(keys) != 1 {
		v.t.Fatalf("Vault has %d keys, want that of the one tenant", len(keys))
	}
	return keys[0].(string)
}

// keyIsGone asks Vault, as its root, for the key.
func (v *replicas) keyIsGone() {
	v.t.Helper()
	key, err := v.told.Vault.Client(v.t).Logical().Read("transit/keys/" + v.root)
	if key != nil || err != nil { // Vault's client gives nil and nil for 404
		v.t.Errorf("Vault still has the key: %v, %v", key, err)
	}
}

// refusedAfter has one server act on the tenant, while both are uploading and
// serving slow downloads. Both refuse new requests by the time the command
// returns, and cut what is under way.
func (v *replicas) refusedAfter(act, code string) {
	v.t.Helper()
	downloads, uploads := map[string]<-chan ending{}, map[string]halfUpload{}
	for _, r := range v.all {
		downloads[r.name] = r.download(v.t)
		uploads[r.name] = beginUpload(v.t, r.s, r.keys, r.name+"-"+act+".wav")
	}
	began := time.Now()
	if err := v.told.Lethe(nil, "tenant", act, "acme"); err != nil {
		v.t.Fatal(err)
	}
	for _, r := range v.all {
		r.refuses(v.t, v.short, code)
	}
	for name, ended := range downloads {
		end := <-ended
		after := end.at.Sub(began).Round(time.Millisecond)
		v.t.Logf("%s: a download from the %s replica ended after %v and %d MB: %v", act, name, after, end.read/1e6, end.err)
		if end.err == nil || after < 0 || after > refusedWithin {
			v.t.Errorf("%s: a download from the %s replica ended after %v: %v", act, name, after, end.err)
		}
	}
	for name, u := range uploads {
		v.t.Logf("%s: an upload to the %s replica", act, name)
		u.end().is(v.t, 403, code)
	}
}

// refuses checks that a new read, listing and upload are refused.
func (r replica) refuses(t *testing.T, what content, code string) {
	t.Helper()
	began := time.Now()
	refused(t, r.name+": read", r.reader.check(t.Context(), "a.wav", what), 403, code)
	_, err := r.reader.list(t.Context(), "")
	refused(t, r.name+": listing", err, 403, code)
	refused(t, r.name+": upload", r.recorder.put(t.Context(), "refused.wav", what), 403, code)
	refused(t, r.name+": upload again", r.recorder.putAWS(t.Context(), "a.wav", what), 403, code)
	if took := time.Since(began); took > refusedWithin {
		t.Errorf("%s: the refusals took %v", r.name, took)
	}
}

// works checks that both servers soon serve the tenant again, and that nothing
// is there of what was refused.
func (v *replicas) works() {
	v.t.Helper()
	want := []string{"a.wav", "long.wav"}
	for _, r := range v.all {
		want = append(want, r.name+".wav")
		if err := r.recorder.put(v.t.Context(), r.name+".wav", v.short); err != nil {
			v.t.Errorf("%s: upload: %v", r.name, err)
		}
		began := time.Now()
		err := r.reader.check(v.t.Context(), "a.wav", v.short)
		for err != nil && time.Since(began) < restoredWithin {
			refused(v.t, r.name+": read, restored", err, 403, "AccessDenied")
			time.Sleep(50 * time.Millisecond)
			err = r.reader.check(v.t.Context(), "a.wav", v.short)
		}
		v.t.Logf("restored: the %s replica serves after %v", r.name, time.Since(began).Round(time.Millisecond))
		if err != nil {
			v.t.Errorf("%s: read: %v", r.name, err)
		}
	}
	slices.Sort(want)
	for _, r := range v.all {
		listed, err := r.reader.list(v.t.Context(), "")
		if got := slices.Sorted(maps.Keys(listed)); err != nil || !slices.Equal(got, want) {
			v.t.Errorf("%s: listed %v, %v, want %v", r.name, got, err, want)
		}
	}
}

// ending is how a download came to its end.
type ending struct {
	at   time.Time
	read int64
	err  error // nil: it was complete
}

// download begins to read long.wav at 4 MB/s, for 25 s if nothing stops it.
func (r replica) download(t *testing.T) <-chan ending {
	t.Helper()
	const rate, perSecond = 400_000, 10
	body, err := r.reader.open(t.Context(), "long.wav", "")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan ending, 1)
	go func() { // ends with the download
		defer body.Close()
		tick := time.NewTicker(time.Second / perSecond)
		defer tick.Stop()
		var read int64
		for {
			n, err := io.CopyN(io.Discard, body, rate)
			read += n
			if errors.Is(err, io.EOF) {
				err = nil
			}
			if err != nil || n < rate {
				ended <- ending{time.Now(), read, err}
				return
			}
			<-tick.C
		}
	}()
	return ended
}
