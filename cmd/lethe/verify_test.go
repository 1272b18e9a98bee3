package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// golden is a file of crypto/claim's: certificates that its docs describe.
func golden(name string) string {
	return filepath.Join("..", "..", "crypto", "claim", "testdata", name)
}

// goldenSalt is that of those certificates, which are about the subject +49301234567.
var goldenSalt = strings.Repeat("5a", 32)

func TestVerifyCertificate(t *testing.T) {
	altered := filepath.Join(t.TempDir(), "altered.json")
	b, err := os.ReadFile(golden("ed25519.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(altered, append(b, b...), 0o600); err != nil {
		t.Fatal(err)
	}
	good, pub := golden("ed25519.json"), golden("ed25519.pub")
	salt, subject := " --salt "+goldenSalt, " --scope-subject +49301234567"
	for _, tt := range []struct {
		args   string
		status int
		says   []string
	}{
		{good + " --key " + pub, done, []string{"not checked  that it is about a certain subject", "CERTIFICATE OF ERASURE", "Ed25519"}},
		{golden("p256.json") + " --key " + golden("p256.pub"), done, []string{"P-256", "not checked  whose key"}},
		{good + " --key " + pub + salt + subject, done, []string{"checked      it is about this subject"}},
		{good + " --key " + pub + salt + " --scope-subject tel:+49-30-1234567", done, []string{"checked      it is about this subject"}},

		{good + " --key " + pub + salt + " --scope-subject +49301234568", failed, []string{"about something else", "Check the salt"}},
		{good + " --key " + pub + " --salt " + strings.Repeat("5b", 32) + subject, failed, []string{"about something else"}},
		{good + " --key " + pub + salt + " --scope-recording calls/a.wav", failed, []string{"about something else"}},
		{good + " --key " + pub + salt + " --scope-day 90d/2026-12-31", failed, []string{"about something else"}},
		{good + " --key " + golden("p256.pub"), failed, []string{"signed with another key, of id 932b99fb", "certificate.pub"}},
		{good + " --key " + golden("ed25519.key"), failed, []string{"not a key for certificates", "Verifying takes certificate.pub"}},
		{good + " --key " + good, failed, []string{"not a key for certificates"}},
		{altered + " --key " + pub, failed, []string{"not a signed certificate", "Do not rely on it"}},
		{altered + ".not --key " + pub, failed, []string{"no such file", "Check the path"}},

		{good, misuse, []string{"key"}},
		{"--key " + pub, misuse, nil},
		{good + " --key " + pub + salt, misuse, []string{"give one of --scope-recording"}},
		{good + " --key " + pub + subject, misuse, []string{"give --salt too"}},
		{good + " --key " + pub + " --salt 5a" + subject, misuse, []string{"64 hex digits"}},
		{good + " --key " + pub + salt + subject + " --scope-day 90d/2026-12-31", misuse, []string{"scope-day"}},
		{good + " --key " + pub + salt + " --scope-day 90d", misuse, []string{"date of a day"}},
		{good + " --key " + pub + salt + " --scope-day 3m/2026-12-31", misuse, []string{"90d"}},
		{good + " --key " + pub + salt + " --scope-recording calls", misuse, []string{"BUCKET/NAME"}},
		{good + " --key " + pub + salt + " --scope-version 00", misuse, []string{"--scope-recording too"}},
		{good + " --key " + pub + salt + " --scope-recording calls/a --scope-version 00", misuse, []string{"32 hex digits"}},
	} {
		status, out, errs := lethe(t, append([]string{"verify", "certificate"}, strings.Fields(tt.args)...)...)
		if status != tt.status || (status == done) != (errs == "") || (status == done) != (out != "") {
			t.Errorf("%s: status %d, want %d: %q, %q", tt.args, status, tt.status, out, errs)
		}
		for _, says := range tt.says {
			if !strings.Contains(out+errs, says) {
				t.Errorf("%s: no %q in %q", tt.args, says, out+errs)
			}
		}
		if strings.Contains(out+errs, "1234567") && tt.status != done {
			t.Errorf("%s: the subject is in %q", tt.args, errs)
		}
	}
}

func TestVerifyCertificateJSON(t *testing.T) {
	v := answers[verified](t, "verify", "certificate", golden("ed25519.json"), "--key", golden("ed25519.pub"), "--salt", goldenSalt, "--scope-subject", "+49301234567")
	if !v.ScopeOpened || len(v.Key) != 64 || v.Certificate.Counts.Unreadable != 12 || len(v.Certificate.Risks) == 0 {
		t.Errorf("%+v", v)
	}
}
