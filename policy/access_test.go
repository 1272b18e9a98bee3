package policy_test

import (
	"testing"

	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

var (
	mine   = recording.NewTenant()
	theirs = recording.NewTenant()

	recorder = policy.Principal{Kind: policy.Recorder, Tenant: mine, Bucket: "calls", Prefix: "pbx-1/"}
	reader   = policy.Principal{Kind: policy.Reader, Tenant: mine, Bucket: "calls"}
	team     = policy.Principal{Kind: policy.Reader, Tenant: mine, Bucket: "calls", Prefix: "team-a/"}
	general  = policy.Principal{Kind: policy.Reader, Tenant: mine, Bucket: policy.AnyBucket, Write: true}
	editor   = policy.Principal{Kind: policy.Reader, Tenant: mine, Bucket: "calls", Prefix: "team-a/", Write: true}
	looker   = policy.Principal{Kind: policy.Reader, Tenant: mine, Bucket: policy.AnyBucket}
	below    = policy.Principal{Kind: policy.Reader, Tenant: mine, Bucket: policy.AnyBucket, Prefix: "a/", Write: true}
	admin    = policy.Principal{Kind: policy.Admin, Tenant: mine}
	operator = policy.Principal{Kind: policy.Operator}
	nobody   = policy.Principal{}
)

type rule struct {
	who    policy.Principal
	action policy.Action
	target policy.Target
	want   policy.Reason
}

func at(t recording.Tenant, bucket recording.Bucket, name recording.Name) policy.Target {
	return policy.Target{Tenant: t, Bucket: bucket, Name: name}
}

func allow(p policy.Principal, a policy.Action, bucket recording.Bucket, name recording.Name) rule {
	return rule{p, a, at(mine, bucket, name), policy.NoReason}
}

func deny(p policy.Principal, a policy.Action, bucket recording.Bucket, name recording.Name, why policy.Reason) rule {
	return rule{p, a, at(mine, bucket, name), why}
}

func abroad(p policy.Principal, a policy.Action, why policy.Reason) rule {
	return rule{p, a, at(theirs, "calls", "pbx-1/a"), why}
}

func TestAccess(t *testing.T) {
	for _, r := range []rule{
		allow(recorder, policy.Put, "calls", "pbx-1/a"),
		allow(recorder, policy.SeeBucket, "calls", ""),
		deny(recorder, policy.Put, "calls", "pbx-2/a", policy.WrongPrefix),
		deny(recorder, policy.Put, "calls", "pbx-1", policy.WrongPrefix),
		deny(recorder, policy.Put, "other", "pbx-1/a", policy.WrongBucket),
		deny(recorder, policy.Open, "calls", "pbx-1/a", policy.WrongKind),
		deny(recorder, policy.Stat, "calls", "pbx-1/a", policy.WrongKind),
		deny(recorder, policy.List, "calls", "pbx-1/", policy.WrongKind),
		deny(recorder, policy.Erase, "calls", "pbx-1/a", policy.WrongKind),
		deny(recorder, policy.SeeBuckets, "", "", policy.WrongKind),
		deny(recorder, policy.MakeBucket, "calls", "", policy.WrongKind),
		deny(recorder, policy.DropBucket, "calls", "", policy.WrongKind),
		abroad(recorder, policy.Put, policy.OtherTenant),

		allow(reader, policy.Open, "calls", "anything"),
		allow(reader, policy.List, "calls", ""),
		deny(reader, policy.Put, "calls", "anything", policy.WrongKind),
		deny(reader, policy.Open, "other", "anything", policy.WrongBucket),
		abroad(reader, policy.Open, policy.OtherTenant),

		deny(reader, policy.Erase, "calls", "anything", policy.WrongKind),
		allow(reader, policy.SeeBuckets, "", ""),
		deny(reader, policy.MakeBucket, "calls", "", policy.WrongKind),
		deny(reader, policy.DropBucket, "calls", "", policy.WrongKind),

		allow(team, policy.Open, "calls", "team-a/1"),
		allow(team, policy.List, "calls", "team-a/"),
		deny(team, policy.Open, "calls", "team-b/1", policy.WrongPrefix),
		deny(team, policy.List, "calls", "", policy.WrongPrefix),
		deny(team, policy.List, "calls", "team-", policy.WrongPrefix),

		allow(editor, policy.Erase, "calls", "team-a/1"),
		deny(editor, policy.Erase, "calls", "team-b/1", policy.WrongPrefix),
		deny(editor, policy.Erase, "other", "team-a/1", policy.WrongBucket),
		deny(editor, policy.MakeBucket, "calls", "", policy.WrongKind),
		deny(editor, policy.DropBucket, "calls", "", policy.WrongKind),
		abroad(editor, policy.Erase, policy.OtherTenant),

		allow(general, policy.Erase, "whatever", "a"),
		allow(general, policy.MakeBucket, "whatever", ""),
		allow(general, policy.DropBucket, "whatever", ""),
		deny(looker, policy.MakeBucket, "whatever", "", policy.WrongKind),
		deny(looker, policy.DropBucket, "whatever", "", policy.WrongKind),
		deny(below, policy.DropBucket, "whatever", "", policy.WrongPrefix),
		abroad(general, policy.Erase, policy.OtherTenant),
		abroad(general, policy.MakeBucket, policy.OtherTenant),
		abroad(general, policy.DropBucket, policy.OtherTenant),
		abroad(general, policy.SeeBuckets, policy.OtherTenant),

		allow(general, policy.Put, "whatever", "a"),
		allow(general, policy.Open, "whatever", "a"),
		abroad(general, policy.Open, policy.OtherTenant),
		deny(general, policy.Revoke, "", "", policy.WrongKind),
		deny(general, policy.MakeKey, "", "", policy.WrongKind),

		allow(admin, policy.MakeBucket, "new", ""),
		allow(admin, policy.MakeKey, "calls", ""),
		allow(admin, policy.Revoke, "", ""),
		allow(admin, policy.EraseAll, "", ""),
		allow(admin, policy.HoldSome, "", ""),
		allow(admin, policy.ReleaseHold, "", ""),
		allow(operator, policy.SeeHolds, "", ""),
		allow(admin, policy.Refile, "", ""),
		deny(general, policy.Refile, "", "", policy.WrongKind),
		abroad(admin, policy.ReleaseHold, policy.OtherTenant),
		deny(general, policy.HoldSome, "", "", policy.WrongKind),
		deny(recorder, policy.SeeHolds, "", "", policy.WrongKind),
		deny(admin, policy.Open, "calls", "a", policy.WrongKind),
		deny(admin, policy.Put, "calls", "a", policy.WrongKind),
		deny(admin, policy.Erase, "calls", "a", policy.WrongKind),
		deny(admin, policy.DropBucket, "calls", "", policy.WrongKind),
		deny(operator, policy.Erase, "calls", "a", policy.WrongKind),
		deny(admin, policy.MakeTenant, "", "", policy.WrongKind),
		deny(admin, policy.ListTenant, "", "", policy.WrongKind),
		deny(admin, policy.Sweep, "", "", policy.WrongKind),
		deny(general, policy.Sweep, "", "", policy.WrongKind),
		allow(operator, policy.Sweep, "", ""),
		abroad(admin, policy.Revoke, policy.OtherTenant),
		abroad(admin, policy.EraseAll, policy.OtherTenant),

		allow(operator, policy.MakeTenant, "", ""),
		allow(operator, policy.Revoke, "", ""),
		deny(operator, policy.Open, "calls", "a", policy.WrongKind),
		deny(operator, policy.Stat, "calls", "a", policy.WrongKind),
		deny(operator, policy.List, "calls", "", policy.WrongKind),
		deny(operator, policy.Put, "calls", "a", policy.WrongKind),

		deny(nobody, policy.Open, "calls", "a", policy.WrongKind),
		deny(reader, "unheard-of", "calls", "a", policy.WrongKind),
	} {
		if got := policy.Access(r.who, r.action, r.target); got != r.want {
			t.Errorf("Access(%s %s, %s %q/%q) = %q, want %q", r.who.Kind, r.who.Prefix, r.action, r.target.Bucket, r.target.Name, got, r.want)
		}
	}
}
