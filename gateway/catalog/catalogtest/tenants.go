package catalogtest

import (
	"testing"
	"time"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// row is the vault's tenant.
func (v *Vault) row(t testing.TB) catalog.Tenant {
	t.Helper()
	row, err := v.Catalog.Tenant(t.Context(), v.Tenant)
	must(t, err)
	row.ReadAt = time.Time{}
	return row
}

func testTenants(t *testing.T, v *Vault) {
	ctx := t.Context()
	got := v.row(t)
	want := catalog.Tenant{
		ID: v.Tenant, Name: "acme", State: catalog.TenantActive,
		Epoch: 1, Head: []byte("head 1"), Journal: 1, CreatedAt: got.CreatedAt,
	}
	wantEqual(t, "Tenant", got, want)
	if got.CreatedAt.IsZero() {
		t.Error("Tenant has no time of creation")
	}
	byName, err := v.TenantByName(ctx, "acme")
	must(t, err)
	byName.ReadAt = time.Time{}
	wantEqual(t, "TenantByName", byName, want)

	_, err = v.Catalog.Tenant(ctx, recording.NewTenant())
	wantErr(t, "Tenant(unknown)", err, recording.ErrNoTenant)
	_, err = v.TenantByName(ctx, "nobody")
	wantErr(t, "TenantByName(unknown)", err, recording.ErrNoTenant)

	other := catalog.Change{
		Tenant: recording.NewTenant(), Sequence: 1,
		New: &catalog.NewTenant{Name: "acme", Head: catalog.Head{Bytes: []byte("h")}, CreatedAt: now()},
	}
	wantErr(t, "Apply(second of a name)", v.Apply(ctx, other), recording.ErrTenantExists)
	other.New.Name = "zeta"
	must(t, v.Apply(ctx, other))
	tenants, err := v.Tenants(ctx)
	must(t, err)
	if len(tenants) != 2 || tenants[0].ID != v.Tenant || tenants[1].ID != other.Tenant {
		t.Errorf("Tenants = %+v, want acme and zeta", tenants)
	}
	standings, err := v.Standings(ctx)
	must(t, err)
	if len(standings) != 2 {
		t.Errorf("Standings = %+v, want two", standings)
	}
}

func testTransitions(t *testing.T, v *Vault) {
	const active, revoked, erasing, erased = catalog.TenantActive, catalog.TenantRevoked, catalog.TenantErasing, catalog.TenantErased
	for _, step := range []struct {
		to  catalog.TenantState
		err error
	}{
		{active, nil}, {erased, catalog.ErrTransition}, {revoked, nil}, {revoked, nil}, {erased, catalog.ErrTransition},
		{active, nil}, {revoked, nil}, {erasing, nil}, {active, recording.ErrTenantErased}, {revoked, recording.ErrTenantErased},
		{erasing, nil}, {erased, nil}, {erased, nil}, {erasing, recording.ErrTenantErased}, {active, recording.ErrTenantErased},
	} {
		before := v.row(t)
		wantErr(t, string(before.State)+" to "+string(step.to), v.Next(t, catalog.Change{State: step.to}), step.err)
		after := v.row(t)
		if step.err != nil {
			wantEqual(t, "tenant after a refused change", after, before)
			continue
		}
		wantEqual(t, "state", after.State, step.to)
	}
	byName, err := v.TenantByName(t.Context(), "acme")
	must(t, err)
	wantEqual(t, "state of TenantByName(erased)", byName.State, catalog.TenantErased)
	must(t, v.Apply(t.Context(), catalog.Change{ // the name is free again
		Tenant: recording.NewTenant(), Sequence: 1,
		New: &catalog.NewTenant{Name: "acme", Head: catalog.Head{Bytes: []byte("h")}, CreatedAt: now()},
	}))
}

func testErased(t *testing.T, v *Vault) {
	ctx := t.Context()
	head := catalog.Head{Epoch: 9, Bytes: []byte("head 9")}
	wantErr(t, "Erased(active)", v.Erased(ctx, v.Tenant, head, nil, nil), catalog.ErrTransition)
	wantErr(t, "Erased(unknown)", v.Erased(ctx, recording.NewTenant(), head, nil, nil), recording.ErrNoTenant)
	wantErr(t, "RecordedTenant(active)", v.RecordedTenant(ctx, v.Tenant, []byte("record"), 1), recording.ErrNoErasure)
	_, err := v.Put(t, Random(), catalog.Never)
	must(t, err)
	must(t, v.Next(t, catalog.Change{State: catalog.TenantErasing, Erasure: &catalog.ErasureRow{
		ID: recording.ErasureOf(v.Tenant), Tenant: v.Tenant, Scope: catalog.ScopeTenant, Who: "owner", Reason: "asked", Commitment: []byte("c"), AskedAt: now(),
	}}))
	readable, err := v.CountReadable(ctx, v.Tenant)
	must(t, err)
	wantEqual(t, "readable", readable, int64(1))
	_, unrecorded, _, err := v.ToPuncture(ctx, v.Tenant, 10) // by who makes an epoch, and knew of it as active
	must(t, err)
	wantEqual(t, "to be recorded like others", len(unrecorded), 0)
	must(t, v.RecordedTenant(ctx, v.Tenant, []byte("record"), readable))
	for _, certificate := range []string{"certificate", "another"} {
		must(t, v.Erased(ctx, v.Tenant, head, []byte(certificate), []audit.Record{event(v.Tenant, now())}))
		is, err := v.Erasure(ctx, v.Tenant, recording.ErasureOf(v.Tenant))
		must(t, err)
		wantEqual(t, "its erasure", []any{is.State, string(is.Certificate), is.Recorded, string(is.Record), is.Versions, is.CertifiedAt.IsZero()},
			[]any{catalog.ErasureCertified, "certificate", true, "record", int64(1), false})
		got, err := v.Catalog.Tenant(ctx, v.Tenant)
		must(t, err)
		if got.State != catalog.TenantErased || got.Epoch != 9 || got.Journal != 2 {
			t.Errorf("after Erased: %+v, want erased in epoch 9, journal 2", got)
		}
	}
}

func testJournal(t *testing.T, v *Vault) {
	ctx := t.Context()
	at := now()
	second := catalog.Change{Tenant: v.Tenant, Sequence: 2, State: catalog.TenantRevoked, Events: []audit.Record{event(v.Tenant, at)}}
	third := catalog.Change{Tenant: v.Tenant, Sequence: 3, State: catalog.TenantActive}
	wantErr(t, "Apply(a gap)", v.Apply(ctx, third), catalog.ErrBehind)
	for _, ch := range []catalog.Change{second, second, third, second, third} {
		must(t, v.Apply(ctx, ch))
	}
	wantErr(t, "Apply(a gap)", v.Apply(ctx, catalog.Change{Tenant: v.Tenant, Sequence: 5}), catalog.ErrBehind)
	wantErr(t, "Apply(no tenant)", v.Apply(ctx, catalog.Change{Tenant: recording.NewTenant(), Sequence: 2}), recording.ErrNoTenant)

	got, err := v.Catalog.Tenant(ctx, v.Tenant)
	must(t, err)
	if got.State != catalog.TenantActive || got.Journal != 3 {
		t.Errorf("after replays: state %s, journal %d, want active, 3", got.State, got.Journal)
	}
	events, err := v.Events(ctx, v.Tenant, at, at.Add(1000), 10)
	must(t, err)
	wantEqual(t, "events of a change applied three times", events, second.Events)
}

func testHeads(t *testing.T, v *Vault) {
	for _, epoch := range []int64{5, 4, 5} {
		must(t, v.Next(t, catalog.Change{Head: &catalog.Head{Epoch: epoch, Bytes: []byte{byte(epoch)}}}))
		got, err := v.Catalog.Tenant(t.Context(), v.Tenant)
		must(t, err)
		if got.Epoch != 5 || len(got.Head) != 1 || got.Head[0] != 5 {
			t.Errorf("after a head of epoch %d: epoch %d, head %x, want 5", epoch, got.Epoch, got.Head)
		}
	}
}

func testCredentials(t *testing.T, v *Vault) {
	ctx := t.Context()
	token := catalog.Token{Hash: Random(), Sealed: []byte("sealed"), CreatedAt: now()}
	credential := catalog.Credential{AccessKey: "AKIA", Kind: "recorder", Sealed: bytes(90), CreatedAt: now()}
	must(t, v.Next(t, catalog.Change{State: catalog.TenantRevoked, Token: &token, Credential: &credential}))

	gotToken, tenant, err := v.Token(ctx, token.Hash)
	must(t, err)
	wantEqual(t, "Token", gotToken, token)
	wantEqual(t, "its tenant", tenant.ID, v.Tenant)
	gotCredential, tenant, err := v.Credential(ctx, "AKIA")
	must(t, err)
	wantEqual(t, "Credential", gotCredential, credential)
	wantErr(t, "its tenant's state", tenant.State.Err(), recording.ErrTenantRevoked)

	_, _, err = v.Token(ctx, Random())
	wantErr(t, "Token(unknown)", err, recording.ErrNoCredential)
	_, _, err = v.Credential(ctx, "akia")
	wantErr(t, "Credential(unknown)", err, recording.ErrNoCredential)
}

func testBuckets(t *testing.T, v *Vault) {
	ctx := t.Context()
	got, err := v.Catalog.Bucket(ctx, v.Tenant, v.Bucket.Index)
	must(t, err)
	wantEqual(t, "Bucket", got, v.Bucket)
	_, err = v.Catalog.Bucket(ctx, recording.NewTenant(), v.Bucket.Index)
	wantErr(t, "Bucket(of another tenant)", err, recording.ErrNoBucket)

	second := catalog.Bucket{ID: recording.NewBucketID(), Index: v.Bucket.Index, Sealed: bytes(50), CreatedAt: now()}
	wantErr(t, "Apply(bucket of a taken name)", v.Next(t, catalog.Change{Bucket: &second}), recording.ErrBucketExists)
	second.Index = Random()
	must(t, v.Next(t, catalog.Change{Bucket: &second}))
	buckets, err := v.Buckets(ctx, v.Tenant)
	must(t, err)
	wantEqual(t, "Buckets", buckets, []catalog.Bucket{v.Bucket, second})
}

func testSubjects(t *testing.T, v *Vault) {
	ctx := t.Context()
	subject := Random()
	_, found, err := v.LookupSubject(ctx, v.Tenant, subject)
	must(t, err)
	wantEqual(t, "LookupSubject(new)", found, false)
	for _, proposed := range []int64{77, 78} {
		slot, err := v.SubjectSlot(ctx, v.Tenant, subject, proposed)
		must(t, err)
		wantEqual(t, "SubjectSlot", slot, int64(77))
	}
	slot, found, err := v.LookupSubject(ctx, v.Tenant, subject)
	must(t, err)
	if !found || slot != 77 {
		t.Errorf("LookupSubject = %d, %v, want 77, true", slot, found)
	}
	slot, err = v.SubjectSlot(ctx, recording.NewTenant(), subject, 5)
	must(t, err)
	wantEqual(t, "SubjectSlot(of another tenant)", slot, int64(5))
}
