package restapi_test

import (
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/gateway/restapi/client"
)

// A subject is held, listed and released by the tenant's admin, as any of the ways
// to write a number; the tenant cannot be erased meanwhile.
func TestHolds(t *testing.T) {
	f := newFront(t)
	admin := f.as(t, f.admin(t, "acme"))
	ctx := t.Context()
	made, err := admin.CreateHoldWithResponse(ctx, "acme", client.NewHold{Subject: "0049 30 1234567", Reason: "case"})
	if err != nil || made.JSON201 == nil || made.JSON201.Subject != "+49301234567" || made.JSON201.Recording != nil || made.JSON201.Holder != "admin" {
		t.Fatalf("CreateHold = %s %s, %v", made.Status(), made.Body, err)
	}
	list, err := admin.ListHoldsWithResponse(ctx, "acme")
	if err != nil || list.JSON200 == nil || len(list.JSON200.Holds) != 1 || list.JSON200.Holds[0] != *made.JSON201 {
		t.Errorf("ListHolds = %s %s, %v", list.Status(), list.Body, err)
	}
	refused, err := admin.EraseTenantWithResponse(ctx, "acme", client.TenantErasure{})
	if p := refused.ApplicationproblemJSONDefault; err != nil || p == nil || p.Status != 409 || p.Code != "held" || !strings.Contains(p.Detail, made.JSON201.Hold) {
		t.Errorf("EraseTenant = %s %s, %v", refused.Status(), refused.Body, err)
	}
	for _, wrong := range []struct {
		hold client.NewHold
		code string
	}{
		{client.NewHold{Reason: "case"}, "bad-request"},
		{client.NewHold{Subject: "1", Recording: &client.HeldRecording{Bucket: "calls", Name: "a"}, Reason: "case"}, "bad-request"},
		{client.NewHold{Subject: "1"}, "bad-hold-reason"},
		{client.NewHold{Subject: "+49301234567, +49301234568", Reason: "case"}, "bad-request"}, // it would bear on nobody
		{client.NewHold{Subject: " ", Reason: "case"}, "bad-request"},
		{client.NewHold{Recording: &client.HeldRecording{Bucket: "no", Name: "a"}, Reason: "case"}, "bad-bucket-name"},
		{client.NewHold{Recording: &client.HeldRecording{Bucket: "calls", Name: "a"}, Reason: "case"}, "no-such-bucket"},
	} {
		res, err := admin.CreateHoldWithResponse(ctx, "acme", wrong.hold)
		if err != nil || res.ApplicationproblemJSONDefault == nil || res.ApplicationproblemJSONDefault.Code != wrong.code {
			t.Errorf("CreateHold(%+v) = %s %s, %v; want %s", wrong.hold, res.Status(), res.Body, err, wrong.code)
		}
	}
	was, err := admin.ReleaseHoldWithResponse(ctx, "acme", made.JSON201.Hold)
	if err != nil || was.JSON200 == nil || *was.JSON200 != *made.JSON201 {
		t.Errorf("ReleaseHold = %s %s, %v", was.Status(), was.Body, err)
	}
	for _, id := range []string{made.JSON201.Hold, "x"} {
		again, err := admin.ReleaseHoldWithResponse(ctx, "acme", id)
		if err != nil || again.ApplicationproblemJSONDefault == nil || again.ApplicationproblemJSONDefault.Code != "no-such-hold" {
			t.Errorf("ReleaseHold(%s) = %s %s, %v", id, again.Status(), again.Body, err)
		}
	}
}
