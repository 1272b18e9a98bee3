package restapi_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/gateway/restapi/client"
)

// The owner sweeps, dry or not; a tenant's admin may not.
func TestSweep(t *testing.T) {
	f := newFront(t)
	admin := f.admin(t, "acme")
	refused, err := f.as(t, admin).SweepWithResponse(t.Context(), client.NewSweep{DryRun: true})
	if err != nil || refused.StatusCode() != http.StatusForbidden {
		t.Errorf("Sweep by an admin = %s, %v", refused.Status(), err)
	}
	owner := f.as(t, f.owner)
	dry, err := owner.SweepWithResponse(t.Context(), client.NewSweep{DryRun: true})
	if err != nil || dry.JSON200 == nil || !dry.JSON200.DryRun || dry.JSON200.Orphans == nil {
		t.Fatalf("dry Sweep = %s %s, %v", dry.Status(), dry.Body, err)
	}
	done, err := owner.SweepWithResponse(t.Context(), client.NewSweep{})
	if err != nil || done.JSON200 == nil || done.JSON200.DryRun || done.JSON200.Orphans != nil {
		t.Fatalf("Sweep = %s %s, %v", done.Status(), done.Body, err)
	}
	if strings.Contains(string(done.Body), "acme") || done.JSON200.Blobs != (client.Swept{}) {
		t.Errorf("Sweep = %s", done.Body)
	}
}
