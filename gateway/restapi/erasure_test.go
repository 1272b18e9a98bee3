package restapi_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/gateway/restapi/client"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

const calls recording.Bucket = "calls"

// vault has recordings of each scope in a bucket that keeps them for 90 days and
// keeps every version.
type vault struct {
	*front
	api    *client.ClientWithResponses // the tenant's admin
	reader gateway.Caller
}

func newVault(t *testing.T, names ...recording.Name) *vault {
	f := newFront(t)
	v := &vault{front: f, api: f.as(t, f.admin(t, "acme"))}
	f.Bucket("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90, Overwrite: gateway.OverwriteVersion})
	key, _ := f.Key("acme", gateway.NewKey{Kind: policy.Reader, Bucket: string(calls), Write: true})
	v.reader = f.Caller(key)
	for _, name := range names {
		v.put(t, name, "")
	}
	return v
}

// put stores a recording that tells of a subject, unless that is "".
func (v *vault) put(t *testing.T, name recording.Name, subject string) recording.Info {
	t.Helper()
	u := gatewaytest.Upload(calls, name, bytes.Repeat([]byte(name), 10))
	if subject != "" {
		u.Metadata = map[string]string{"lethe-subject": subject}
	}
	info, err := v.Put(t.Context(), v.reader, u)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// erase must succeed.
func (v *vault) erase(t *testing.T, what client.NewErasure) client.Erasure {
	t.Helper()
	res, err := v.api.CreateErasureWithResponse(t.Context(), "acme", what)
	if err != nil {
		t.Fatal(err)
	}
	if res.JSON202 == nil {
		t.Fatalf("CreateErasure(%+v) = %s %s", what, res.Status(), res.Body)
	}
	return *res.JSON202
}

func (v *vault) wantGone(t *testing.T, name recording.Name) {
	t.Helper()
	if _, err := v.Open(t.Context(), v.reader, calls, name); !errors.Is(err, recording.ErrNotFound) {
		t.Errorf("Open(%s) = %v, want ErrNotFound", name, err)
	}
}

// What is erased is read no more when the answer is there, and the salt that is in
// it opens the commitment to what was asked for.
func TestErasures(t *testing.T) {
	v := newVault(t, "whole", "versions", "of-a-day")
	old := v.put(t, "versions", "")
	v.put(t, "versions", "")
	v.put(t, "of-a-subject", "+49 (30) 123-4567")
	expires := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, 91)
	day := "90d/" + expires.Format(time.DateOnly)
	for _, tt := range []struct {
		what client.NewErasure
		of   claim.Scope
		gone recording.Name // "" if something is still read under it
		made int64          // unreadable at once
	}{
		{
			client.NewErasure{Recording: &client.ErasedRecording{Bucket: "calls", Name: "whole"}, Reason: "asked by the caller"},
			claim.Scope{Kind: claim.OfRecording, Bucket: "calls", Name: "whole"}, "whole", 1,
		},
		{
			client.NewErasure{Recording: &client.ErasedRecording{Bucket: "calls", Name: "versions", Version: old.Version.String()}},
			claim.Scope{Kind: claim.OfVersion, Bucket: "calls", Name: "versions", Version: old.Version.String()}, "", 1,
		},
		{
			client.NewErasure{Subject: "0049 30 1234567"},
			claim.Scope{Kind: claim.OfSubject, Subject: "+49301234567"}, "of-a-subject", 0,
		},
		{
			client.NewErasure{Day: day},
			claim.Scope{Kind: claim.OfDay, Class: "90d", Date: expires.Format(time.DateOnly)}, "of-a-day", 0,
		},
	} {
		e := v.erase(t, tt.what)
		id, badID := recording.ParseErasureID(e.Erasure)
		salt, badSalt := claim.ParseSalt(e.Salt)
		if badID != nil || badSalt != nil || e.Scope != client.ErasureScope(tt.of.Kind) || len(e.TenantId) != 26 ||
			e.Requester != "admin" || e.Unreadable != tt.made || e.AskedAt.IsZero() || e.Certificate != nil {
			t.Errorf("CreateErasure(%+v) = %+v", tt.what, e)
		}
		if want := cmp.Or(tt.what.Reason, "none given"); e.Reason != want {
			t.Errorf("reason = %q, want %q", e.Reason, want)
		}
		if tt.gone != "" {
			v.wantGone(t, tt.gone)
		}
		row, err := v.Catalog.FindErasure(t.Context(), id)
		made, bad := claim.Commitment(salt, tt.of)
		if err != nil || bad != nil || !bytes.Equal(row.Commitment, made[:]) {
			t.Errorf("the salt does not open the commitment to %+v: %v, %v", tt.of, err, bad)
		}
		again := v.erase(t, tt.what)
		if again.Erasure != e.Erasure || again.Salt != "" {
			t.Errorf("erased again: %+v, want %s without its salt", again, e.Erasure)
		}
		now, err := v.api.GetErasureWithResponse(t.Context(), e.Erasure)
		if err != nil || now.JSON200 == nil || now.JSON200.Erasure != e.Erasure || now.JSON200.Salt != "" {
			t.Errorf("GetErasure = %s %s, %v", now.Status(), now.Body, err)
		}
	}
}

// A list goes from page to page, newest first.
func TestErasuresInPages(t *testing.T) {
	var names []recording.Name
	for i := range 5 {
		names = append(names, recording.Name(fmt.Sprint(i)))
	}
	v := newVault(t, names...)
	var want, got []string
	for _, name := range names {
		e := v.erase(t, client.NewErasure{Recording: &client.ErasedRecording{Bucket: "calls", Name: string(name)}})
		want = append(want, e.Erasure)
	}
	slices.Reverse(want)
	p, pages := client.ListErasuresParams{Limit: 2}, 0
	for more := true; more; more = p.Before != "" {
		page, err := v.api.ListErasuresWithResponse(t.Context(), "acme", &p)
		if err != nil || page.JSON200 == nil || len(page.JSON200.Erasures) > 2 {
			t.Fatalf("ListErasures(%+v) = %s %s, %v", p, page.Status(), page.Body, err)
		}
		for _, e := range page.JSON200.Erasures {
			got = append(got, e.Erasure)
		}
		p.Before, pages = page.JSON200.Before, pages+1
	}
	if !slices.Equal(got, want) || pages != 3 {
		t.Errorf("listed %q in %d pages, want %q in 3", got, pages, want)
	}
}

// Whoever administers another tenant is told nothing of an erasure, not even
// whether there is one.
func TestErasuresOfOthers(t *testing.T) {
	v := newVault(t, "a")
	made := v.erase(t, client.NewErasure{Recording: &client.ErasedRecording{Bucket: "calls", Name: "a"}})
	other := "Bearer " + v.admin(t, "other")
	for _, q := range []request{
		{"GET", "/v1/erasures/" + made.Erasure, other, "", ""},
		{"GET", "/v1/erasures/" + strings.Repeat("1", 32), other, "", ""},
		{"GET", "/v1/tenants/acme/erasures", other, "", ""},
		{"POST", "/v1/tenants/acme/erasures", other, "application/json", `{"subject":"+49301234567"}`},
	} {
		if res, body := v.send(t, q); res.StatusCode != http.StatusForbidden || bytes.Contains(body, []byte(made.Erasure)) {
			t.Errorf("%s %s = %s %s", q.method, q.path, res.Status, body)
		}
	}
}
