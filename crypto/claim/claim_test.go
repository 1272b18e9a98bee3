package claim_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/lethe-vault/lethe/crypto/claim"
)

var update = flag.Bool("update", false, "write testdata anew: certificates, public keys and the readable form")

// The keys in testdata are nobody's.
var algorithms = []string{"ed25519", "p256"}

func hash(c string) string { return strings.Repeat(c, 32) }

// salt is that of example.
var salt, _ = claim.ParseSalt(hash("5a"))

var subject = claim.Scope{Kind: claim.OfSubject, Subject: "+49301234567"}

// example is the erasure of a data subject, as an eraser states it.
func example(t testing.TB) claim.Erasure {
	t.Helper()
	c, err := claim.Commitment(salt, subject)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 28, 10, 0, 0, 1, time.FixedZone("CET", 3600))
	return claim.Erasure{
		ID:       "00112233445566778899aabbccddeeff",
		Tenant:   "aaaqeayeaudaocajbifqydiob4",
		Issued:   at.Add(36 * time.Second),
		Scope:    claim.Committed{Kind: claim.OfSubject, Commitment: hexOf(c)},
		Request:  claim.Request{Requester: "LK7Q2EXAMPLE", Reason: "Art. 17 GDPR, ticket DSR-4711 <urgent>"},
		Provider: claim.Provider{Key: "t-aaaqeayeaudaocajbifqydiob4"},
		Epochs: []claim.Epoch{{
			Before: 6, After: 7, HeadBefore: hash("0a"), HeadAfter: hash("0b"), OldRoot: hash("0c"), OldRootPrefix: "vault:v7:", Pack: hash("0d"),
			Punctured: claim.Punctured{Recordings: 1, Subjects: 1},
			Key:       claim.Versions{Before: 7, After: 8, OldestBefore: 7, OldestAfter: 8},
		}},
		Verification: []claim.Check{
			{Check: claim.HeadInStore}, {Check: claim.HeadInCatalog}, {Check: claim.OldestVersion},
			{Check: claim.OldRootRefused, Answer: claim.Forgotten}, {Check: claim.LeasesDrained},
		},
		Counts: claim.Counts{Unreadable: 12, Refiled: 1},
		Dates:  claim.Dates{Refused: at, Effective: at.Add(35 * time.Second)},
	}
}

func hexOf(c [32]byte) string { return claim.Salt(c).String() }

func config(key []byte) claim.Config {
	return claim.Config{
		Key: key, Program: claim.Program{Name: "lethe", Version: "v0.5.0", Build: "8131c61"},
		Provider: claim.Vault, Snapshots: claim.Retention{Told: true, Kept: 30 * 24 * time.Hour},
	}
}

func signer(t testing.TB, algorithm string) *claim.Signer {
	t.Helper()
	s, err := claim.NewSigner(config(file(t, algorithm+".key")))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func file(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func signed(t testing.TB, s *claim.Signer, e claim.Erasure) []byte {
	t.Helper()
	c, err := s.Sign(e)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// golden compares b with a file in testdata, or writes it.
func golden(t *testing.T, name string, b []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(filepath.Join("testdata", name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := file(t, name); !bytes.Equal(b, want) {
		t.Errorf("testdata/%s: got\n%s\nwant\n%s", name, b, want)
	}
}

// What was once signed is verified by every later version.
func TestGolden(t *testing.T) {
	for _, algorithm := range algorithms {
		s := signer(t, algorithm)
		golden(t, algorithm+".pub", s.PublicKey().PEM())
		c := signed(t, s, example(t))
		if algorithm == "ed25519" || *update { // P-256 signs otherwise each time
			golden(t, algorithm+".json", c)
		}
		key, err := claim.ParsePublicKey(file(t, algorithm+".pub"))
		if err != nil {
			t.Fatal(err)
		}
		e, err := key.Verify(file(t, algorithm+".json"))
		if err != nil {
			t.Fatalf("%s: %v", algorithm, err)
		}
		golden(t, algorithm+".txt", []byte(e.Text()))
		if err := e.Scope.OpenCommitment(salt, subject); err != nil {
			t.Errorf("%s: the salt and the scope: %v", algorithm, err)
		}
	}
}

func TestTextFitsThePage(t *testing.T) {
	e, err := signer(t, "ed25519").PublicKey().Verify(signed(t, signer(t, "ed25519"), example(t)))
	if err != nil {
		t.Fatal(err)
	}
	e.Request.Requester = strings.Repeat("long", 60)
	for line := range strings.Lines(e.Text()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

// The signer states what is the same in every certificate, and rounds dates up.
func TestSignerStates(t *testing.T) {
	s := signer(t, "ed25519")
	e, err := s.PublicKey().Verify(signed(t, s, example(t)))
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Dates.Refused.Format(time.RFC3339Nano); got != "2026-11-28T09:00:01Z" {
		t.Errorf("refused %s: neither in UTC nor rounded up", got)
	}
	if want := e.Dates.Effective.Add(30 * 24 * time.Hour); !e.Dates.Complete.Equal(want) {
		t.Errorf("complete %v, want %v", e.Dates.Complete, want)
	}
	if !strings.Contains(strings.Join(e.Risks, " "), "kept, and can be read") {
		t.Errorf("nothing says that a version was kept: %q", e.Risks)
	}
	for provider, want := range map[string]claim.Unknown{claim.Local: claim.CopiesNotTold, claim.Vault: claim.RetentionNotTold} {
		c := config(file(t, "ed25519.key"))
		c.Provider, c.Snapshots = provider, claim.Retention{}
		s, err := claim.NewSigner(c)
		if err != nil {
			t.Fatal(err)
		}
		e, err := s.PublicKey().Verify(signed(t, s, example(t)))
		if err != nil || !e.Dates.Complete.IsZero() || e.Dates.CompleteUnknown != want {
			t.Errorf("%s with nothing told: %+v, %v", provider, e, err)
		}
	}
}

// A tenant's erasure leaves no version of its key, and no pages.
func TestTenant(t *testing.T) {
	s, e := signer(t, "p256"), example(t)
	e.Scope.Kind, e.Epochs[0].Pack = claim.OfTenant, ""
	e.Epochs[0].Key.After, e.Epochs[0].Key.OldestAfter = 0, 0
	e.Verification = []claim.Check{{Check: claim.KeyAbsent, Answer: claim.Forgotten}}
	back, err := s.PublicKey().Verify(signed(t, s, e))
	if err != nil || !strings.Contains(back.Text(), "none after") {
		t.Fatalf("%+v, %v", back, err)
	}
	if !back.Dates.Unlinkable.Equal(back.Dates.Effective) {
		t.Errorf("unlinkable %v, effective %v: the keys of its indexes went with its root", back.Dates.Unlinkable, back.Dates.Effective)
	}
}

// An erasure that ends with its tenant says so. A key that is gone was looked for.
func TestEndsWithTenant(t *testing.T) {
	s, e := signer(t, "p256"), example(t)
	e.Epochs[0].Pack, e.Epochs[0].Key.After, e.Epochs[0].Key.OldestAfter = "", 0, 0
	if _, err := s.Sign(e); !errors.Is(err, claim.ErrStatement) {
		t.Errorf("Sign of a key that nobody looked for: %v", err)
	}
	e.Verification = []claim.Check{{Check: claim.KeyAbsent, Answer: claim.Forgotten}}
	back, err := s.PublicKey().Verify(signed(t, s, e))
	if err != nil || !back.Dates.Unlinkable.Equal(back.Dates.Effective) {
		t.Fatalf("%+v, %v", back, err)
	}
	for _, said := range []string{"All recordings of one data subject.", "ended with the tenant itself", "the whole tree"} {
		if !strings.Contains(back.Text(), said) {
			t.Errorf("nothing says %q:\n%s", said, back.Text())
		}
	}
	e = example(t)
	e.Scope.Kind = claim.OfTenant
	if _, err := s.Sign(e); !errors.Is(err, claim.ErrStatement) {
		t.Errorf("Sign of a tenant whose key is there: %v", err)
	}
}

// A note is whole, of whoever signed it, and no certificate; nor is one a note.
func TestNote(t *testing.T) {
	s, other := signer(t, "ed25519"), signer(t, "p256")
	note, err := s.Note([]byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if back, err := s.PublicKey().Note(note); err != nil || string(back) != "hello" {
		t.Errorf("Note = %q, %v", back, err)
	}
	if _, err := other.PublicKey().Note(note); !errors.Is(err, claim.ErrOtherKey) {
		t.Errorf("Note by another key: %v", err)
	}
	if _, err := s.PublicKey().Verify(note); !errors.Is(err, claim.ErrPayloadType) {
		t.Errorf("Verify of a note: %v", err)
	}
	if _, err := s.PublicKey().Note(signed(t, s, example(t))); !errors.Is(err, claim.ErrPayloadType) {
		t.Errorf("Note of a certificate: %v", err)
	}
	if _, err := s.PublicKey().Note(replaced(t, string(note), "aGVsbG8=", "aGVsbG9v")); !errors.Is(err, claim.ErrSignature) {
		t.Errorf("Note that was changed: %v", err)
	}
}

// Nothing is signed that is not whole.
func TestSignRefuses(t *testing.T) {
	s := signer(t, "ed25519")
	for name, spoil := range map[string]func(e *claim.Erasure){
		"id":                       func(e *claim.Erasure) { e.ID = "1" },
		"tenant":                   func(e *claim.Erasure) { e.Tenant = "acme" },
		"issued":                   func(e *claim.Erasure) { e.Issued = time.Time{} },
		"scope.kind":               func(e *claim.Erasure) { e.Scope.Kind = "galaxy" },
		"scope.commitment":         func(e *claim.Erasure) { e.Scope.Commitment = strings.ToUpper(e.Scope.Commitment) },
		"request.requester":        func(e *claim.Erasure) { e.Request.Requester = "a\x1b[2Jb" },
		"request.reason":           func(e *claim.Erasure) { e.Request.Reason = "call +49 30 1234567" },
		"provider.key":             func(e *claim.Erasure) { e.Provider.Key = "" },
		"epochs":                   func(e *claim.Erasure) { e.Epochs = nil },
		"epochs.before":            func(e *claim.Erasure) { e.Epochs[0].After = 6 },
		"epochs.head_after_sha256": func(e *claim.Erasure) { e.Epochs[0].HeadAfter = "" },
		"epochs.pack_sha256":       func(e *claim.Erasure) { e.Epochs[0].Pack = "" },
		"epochs.punctured":         func(e *claim.Erasure) { e.Epochs[0].Punctured.Days = -1 },
		"epochs.key_versions":      func(e *claim.Erasure) { e.Epochs[0].Key.OldestAfter = 7 }, // the old root opens
		"verification":             func(e *claim.Erasure) { e.Verification = nil },
		"counts":                   func(e *claim.Erasure) { e.Counts.Refiled = -1 },
		"dates.refused":            func(e *claim.Erasure) { e.Dates.Refused = time.Time{} },
		"dates.effective":          func(e *claim.Erasure) { e.Dates.Effective = time.Time{} },
	} {
		e := example(t)
		spoil(&e)
		if _, err := s.Sign(e); !errors.Is(err, claim.ErrStatement) || !strings.HasSuffix(err.Error(), ": "+name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	e := example(t)
	e.Verification = []claim.Check{{Check: claim.OldRootRefused}}
	if _, err := s.Sign(e); !errors.Is(err, claim.ErrStatement) {
		t.Errorf("refused without an answer: %v", err)
	}
}

// resign gives a certificate of any body and type, signed as it should be.
func resign(t testing.TB, kind, body string) []byte {
	t.Helper()
	c, err := claim.SignAny(signer(t, "ed25519"), kind, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestVerifyRefuses(t *testing.T) {
	key := signer(t, "ed25519").PublicKey()
	good := string(signed(t, signer(t, "ed25519"), example(t)))
	if _, err := key.Verify([]byte(good)); err != nil {
		t.Fatal(err)
	}
	body := payload(t, good)
	var env struct{ Signatures []json.RawMessage }
	if err := json.Unmarshal([]byte(good), &env); err != nil {
		t.Fatal(err)
	}
	one := string(env.Signatures[0])
	in := func(old, new string) []byte { return replaced(t, good, old, new) }
	of := func(old, new string) []byte { return resign(t, claim.PayloadType, string(replaced(t, body, old, new))) }
	for name, tt := range map[string]struct {
		file []byte
		want error
	}{
		"nothing":                    {nil, claim.ErrEnvelope},
		"null":                       {[]byte("null"), claim.ErrEnvelope},
		"a list":                     {[]byte("[" + good + "]"), claim.ErrEnvelope},
		"text behind":                {[]byte(good + "x"), claim.ErrEnvelope},
		"another behind":             {[]byte(good + good), claim.ErrEnvelope},
		"too long":                   {[]byte(good + strings.Repeat(" ", 1<<20)), claim.ErrEnvelope},
		"an unknown field":           {in(`{"payloadType"`, `{"note":"","payloadType"`), claim.ErrEnvelope},
		"a field twice":              {in(`{"payloadType"`, `{"payload":"","payloadType"`), claim.ErrEnvelope},
		"a field in another case":    {in(`"payload":`, `"Payload":`), claim.ErrEnvelope},
		"an escape":                  {in(`vnd.lethe`, `\u0076nd.lethe`), claim.ErrEnvelope},
		"another type":               {in("v1+json", "v2+json"), claim.ErrPayloadType},
		"another type, signed":       {resign(t, "application/json", body), claim.ErrPayloadType},
		"no signature":               {in(one, ""), claim.ErrSignatures},
		"two signatures":             {in(one, one+","+one), claim.ErrSignatures},
		"a signature's unknown":      {in(`{"keyid"`, `{"cert":"","keyid"`), claim.ErrEnvelope},
		"other base64":               {in(`"payload":"`, `"payload":"\n`), claim.ErrEnvelope},
		"no key id":                  {in(key.ID(), ""), claim.ErrOtherKey},
		"another key":                {signed(t, signer(t, "p256"), example(t)), claim.ErrOtherKey},
		"another key by this id":     {[]byte(strings.Replace(string(signed(t, signer(t, "p256"), example(t))), signer(t, "p256").PublicKey().ID(), key.ID(), 1)), claim.ErrSignature},
		"another payload":            {in(base64.StdEncoding.EncodeToString([]byte(body)), base64.StdEncoding.EncodeToString([]byte(strings.Replace(body, "12", "13", 1)))), claim.ErrSignature},
		"signed: no object":          {resign(t, claim.PayloadType, "[]"), claim.ErrStatement},
		"signed: an unknown field":   {of(`{"version"`, `{"note":"","version"`), claim.ErrStatement},
		"signed: a field twice":      {of(`{"version"`, `{"id":"","version"`), claim.ErrStatement},
		"signed: a space":            {of(`{"version"`, `{ "version"`), claim.ErrStatement},
		"signed: an escape":          {of("<urgent>", `\u003curgent\u003e`), claim.ErrStatement},
		"signed: text behind":        {resign(t, claim.PayloadType, body+"{}"), claim.ErrStatement},
		"signed: another version":    {of(`"version":1`, `"version":2`), claim.ErrStatement},
		"signed: a local time":       {of(`09:00:01Z`, `10:00:01+01:00`), claim.ErrStatement},
		"signed: a reason's number":  {of("DSR-4711", "030 1234567"), claim.ErrStatement},
		"signed: complete too early": {of("2026-12-28", "2026-10-28"), claim.ErrStatement},
		"signed: another method":     {of("purge: ", "clear: "), claim.ErrStatement},
	} {
		if e, err := key.Verify(tt.file); !errors.Is(err, tt.want) || e != nil {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// White space around the members of the envelope changes nothing.
func TestVerifyIndented(t *testing.T) {
	s := signer(t, "ed25519")
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, signed(t, s, example(t)), "", "\t"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PublicKey().Verify(pretty.Bytes()); err != nil {
		t.Error(err)
	}
}

func payload(t testing.TB, certificate string) string {
	t.Helper()
	var env struct{ Payload []byte }
	if err := json.Unmarshal([]byte(certificate), &env); err != nil {
		t.Fatal(err)
	}
	return string(env.Payload)
}

// replaced is s with the first old made new, which must be there.
func replaced(t testing.TB, s, old, new string) []byte {
	t.Helper()
	if !strings.Contains(s, old) {
		t.Fatalf("no %q in %s", old, s)
	}
	return []byte(strings.Replace(s, old, new, 1))
}

// No change of a byte of a certificate goes unnoticed.
func TestEveryByteCounts(t *testing.T) {
	for algorithm, step := range map[string]int{"ed25519": 1, "p256": 17} { // the latter is slow
		s := signer(t, algorithm)
		c := bytes.TrimSpace(signed(t, s, example(t)))
		for i := 0; i < len(c); i += step {
			c[i] ^= 1
			if _, err := s.PublicKey().Verify(c); err == nil {
				t.Errorf("%s: byte %d changed", algorithm, i)
			}
			c[i] ^= 1
		}
	}
}

// What is taken for a certificate is a statement that Sign would make.
func FuzzVerify(f *testing.F) {
	s := signer(f, "ed25519")
	f.Add(signed(f, s, example(f)))
	f.Add([]byte(`{"payloadType":"","payload":"","signatures":[]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := s.PublicKey().Verify(b); err == nil && (e.Version != 1 || e.Text() == "") {
			t.Errorf("verified: %s", b)
		}
	})
}

// Whatever is signed, it is refused or has one form, and a readable one.
func FuzzStatement(f *testing.F) {
	f.Add([]byte(payload(f, string(signed(f, signer(f, "ed25519"), example(f))))))
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := claim.ParseErasure(b)
		if err != nil {
			return
		}
		if again, err := claim.Encode(e); err != nil || !bytes.Equal(again, b) {
			t.Errorf("two forms: %s and %s, %v", b, again, err)
		}
		for line := range strings.Lines(e.Text()) {
			if utf8.RuneCountInString(line) > 81 {
				t.Errorf("too wide: %q", line)
			}
		}
	})
}

// A certificate that is issued again says what the first says, names it, and adds the
// date; what the settings have become since does not matter.
func TestReissue(t *testing.T) {
	first := signed(t, signer(t, "ed25519"), example(t))
	key := signer(t, "ed25519").PublicKey()
	was, err := key.Verify(first)
	if err != nil {
		t.Fatal(err)
	}
	later := config(file(t, "p256.key"))
	later.Provider, later.Snapshots, later.Program.Version = claim.Local, claim.Retention{}, "v9"
	s, err := claim.NewSigner(later)
	if err != nil {
		t.Fatal(err)
	}
	at := was.Dates.Effective.Add(7*24*time.Hour + time.Millisecond)
	again, err := s.Reissue(was, at.Add(time.Hour), at)
	if err != nil {
		t.Fatal(err)
	}
	is, err := s.PublicKey().Verify(again)
	if err != nil {
		t.Fatal(err)
	}
	if is.Replaces != was.Sum() || is.Dates.Unlinkable != at.Truncate(time.Second).Add(time.Second) || !is.Issued.After(is.Dates.Unlinkable) || is.Program.Version != "v9" {
		t.Errorf("the second certificate is %+v", is)
	}
	if len(is.Risks) != len(was.Risks)-1 || !strings.Contains(is.Text(), was.Sum()) {
		t.Errorf("it reads\n%s", is.Text())
	}
	is.Replaces, is.Dates.Unlinkable, is.Issued, is.Program, is.Method, is.Risks = "", time.Time{}, was.Issued, was.Program, was.Method, was.Risks
	if is.Sum() != was.Sum() {
		t.Errorf("but for that it says %+v, and the first %+v", is, was)
	}
	without := example(t)
	without.Replaces = was.Sum()
	if _, err := s.Sign(without); !errors.Is(err, claim.ErrStatement) {
		t.Errorf("a second certificate without the date: %v, want ErrStatement", err)
	}
}
