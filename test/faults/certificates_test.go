package faults_test

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestCertificateFailpoints crashes the server, and has it fail, where it issues
// certificates. Every erasure gets one, and one only.
func TestCertificateFailpoints(t *testing.T) {
	t.Parallel()
	certify := func(t *testing.T, f fault) {
		d := newDeeds(t)
		for _, s := range stepsOf("certificate") {
			d.certify(s, f)
		}
	}
	if sized(t, true, false, false) {
		certify(t, faults[0]) // a subtest would wait for all other tests
		return
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			certify(t, f)
		})
	}
}

// stepsOf are those of a deed.
func stepsOf(deed string) (out []step) {
	for _, s := range steps {
		if s.deed == deed {
			out = append(out, s)
		}
	}
	return out
}

// certify erases a recording, and has a step on the way to its certificate fail.
func (d *deeds) certify(s step, f fault) {
	d.t.Helper()
	name := d.fresh("certified")
	d.must(d.client.putText(d.t.Context(), name, "hello"))
	var e erasure
	d.must(d.s.Lethe(&e, "erase", "--tenant", "acme", "--recording", "calls/"+name))
	d.s.arm(s.failpoint, f.terms)
	if f.name == "crash" && !d.s.Ended(2*time.Minute) {
		d.t.Fatalf("it is not reached\n%s", d.s.Log())
	}
	if f.name == "crash" {
		d.restart()
	}
	var first, again struct{ Certificate any }
	d.must(d.s.Lethe(&first, "certificate", e.Erasure, "--wait"))
	d.must(d.s.Lethe(&again, "certificate", e.Erasure))
	if first.Certificate == nil || !reflect.DeepEqual(first, again) {
		d.t.Errorf("certificate %v, then %v", first, again)
	}
}

// TestUnlinkableFailpoints crashes the server, and has it fail, where it issues the second
// certificates of erasures whose generation of indexes is forgotten. They get one, beside
// the first.
func TestUnlinkableFailpoints(t *testing.T) {
	t.Parallel()
	all := stepsOf("unlinkable")
	if sized(t, true, false, false) {
		newDeeds(t).unlink(all, faults[2]) // it waits for three minutes; a subtest would wait for all other tests
		return
	}
	for _, s := range all {
		for _, f := range faults {
			t.Run(f.name+" at "+s.failpoint, func(t *testing.T) {
				t.Parallel()
				newDeeds(t).unlink([]step{s}, f)
			})
		}
	}
}

// unlink erases a recording, and has the key of its indexes forgotten, while steps of the
// second certificate fail.
func (d *deeds) unlink(at []step, f fault) {
	d.must(d.client.putText(d.t.Context(), "a", "hello"))
	var e erasure
	d.must(d.s.Lethe(&e, "erase", "--tenant", "acme", "--recording", "calls/a", "--wait"))
	for _, s := range at {
		d.s.arm(s.failpoint, f.terms)
	}
	d.must(d.s.Lethe(nil, "reindex", "acme"))
	if f.name == "crash" && !d.s.Ended(3*time.Minute) {
		d.t.Fatalf("it is not reached\n%s", d.s.Log())
	}
	if f.name == "crash" {
		d.restart()
	}
	for end := time.Now().Add(5 * time.Minute); ; time.Sleep(time.Second) {
		var got struct{ Certificate struct{ Payload []byte } }
		d.must(d.s.Lethe(&got, "certificate", e.Erasure))
		if strings.Contains(string(got.Certificate.Payload), `"replaces_sha256"`) {
			break
		}
		if time.Now().After(end) {
			d.t.Fatalf("there is no second certificate\n%s", d.s.Log())
		}
	}
	for _, s := range at {
		if f.name != "crash" && !d.s.disarm(s.failpoint) {
			d.t.Errorf("%s is not reached", s.failpoint)
		}
	}
}
