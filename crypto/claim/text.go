package claim

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// width is how long a line of the readable form may be.
const width = 80

// Text is the certificate as a person reads it. It says what the statement says
// and is signed by nothing: only the certificate itself is.
func (e *Erasure) Text() string {
	p := new(page)
	p.line("CERTIFICATE OF ERASURE")
	p.line("")
	p.entry("Certificate", e.ID)
	p.entry("Tenant", e.Tenant)
	p.entry("Issued", date(e.Issued))
	if e.Replaces != "" {
		p.entry("Replaces", e.Replaces)
	}
	p.entry("Issued by", strings.TrimSpace(e.Program.Name+" "+e.Program.Version+" "+e.Program.Build))
	p.entry("Asked for by", e.Request.Requester)
	p.entry("Reason", e.Request.Reason)
	p.scope(e)
	p.how(e)
	p.dates(e)
	for _, epoch := range e.Epochs {
		p.epoch(&epoch)
	}
	p.title("VERIFIED BEFORE THIS CERTIFICATE WAS SIGNED")
	for _, c := range e.Verification {
		p.item(c.sentence())
	}
	p.title("WHAT REMAINS, AND WHAT THIS DOES NOT PROVE")
	for _, r := range e.Risks {
		p.item(r)
	}
	return p.String()
}

func (c Check) sentence() string {
	if c.Answer == "" {
		return sentences[c.Check]
	}
	return sentences[c.Check] + " Its answer: " + c.Answer + "."
}

// page is text of at most width columns.
type page struct{ strings.Builder }

func (p *page) scope(e *Erasure) {
	p.title("WHAT WAS ERASED")
	p.paragraph(titles[e.Scope.Kind])
	if e.Scope.Kind != OfTenant && e.endsTenant() {
		p.paragraph(withTenant)
	}
	p.entry("Versions", fmt.Sprintf("made unreadable %d, kept because of a hold or a longer retention %d", e.Counts.Unreadable, e.Counts.Refiled))
	p.entry("Commitment", e.Scope.Commitment)
	which := "What it was does not stand here, since this certificate outlives it. Whoever has the salt that was given to the requester can show by the commitment what it was."
	if e.Scope.Kind == OfTenant {
		which = "It is the tenant whose id stands above. No name stands here, since this certificate outlives it. The commitment, with the salt that was given to the requester, gives the same id."
	}
	p.paragraph(which)
}

func (p *page) how(e *Erasure) {
	p.title("HOW")
	p.entry("Method", e.Method.Name+" ("+e.Method.Source+")")
	p.paragraph("Recordings are only ever stored encrypted, each under keys of its own. Those keys were destroyed, wherever copies of the encrypted recordings are.")
	for _, a := range e.Method.Algorithms {
		p.item(fmt.Sprintf("%s: %s, %d bits", a.Use, a.Name, a.Bits))
	}
	p.entry("Keys held by", map[string]string{Vault: "Vault", Local: "the server itself"}[e.Provider.Kind])
	p.entry("Tenant's key", e.Provider.Key)
}

func (p *page) dates(e *Erasure) {
	p.title("WHEN")
	p.entry("Refused", date(e.Dates.Refused)+": nothing was read from then on")
	p.entry("Effective", date(e.Dates.Effective)+": no key was left, at the provider or in memory")
	complete := unknowns[e.Dates.CompleteUnknown]
	if !e.Dates.Complete.IsZero() {
		complete = date(e.Dates.Complete) + ": the last snapshot of Vault from before is gone"
	}
	p.entry("Complete", complete)
	unlinkable := "not yet: whoever has the current keys and an old copy of the database can still test whether a certain name or number was in it"
	if !e.Dates.Unlinkable.IsZero() {
		unlinkable = date(e.Dates.Unlinkable) + ": from an old copy of the database nobody can test any more whether a certain name or number was in it"
	}
	p.entry("Unlinkable", unlinkable)
}

func (p *page) epoch(e *Epoch) {
	p.title(fmt.Sprintf("FOR AN AUDITOR: EPOCH %d OF THE TENANT'S KEYS, AFTER %d", e.After, e.Before))
	forgotten := "the whole tree of the tenant's keys, with the key that opened it"
	if n := e.Punctured; !e.gone() {
		forgotten = fmt.Sprintf("slots by tree: recordings %d, subjects %d, days %d, system %d", n.Recordings, n.Subjects, n.Days, n.System)
	}
	p.entry("Forgotten", forgotten)
	p.entry("Key version", arrow(e.Key.Before, e.Key.After))
	p.entry("Oldest there", arrow(e.Key.OldestBefore, e.Key.OldestAfter))
	p.entry("Head before", e.HeadBefore)
	p.entry("Head after", e.HeadAfter)
	p.entry("Old root", e.OldRoot)
	if e.OldRootPrefix != "" {
		p.entry("", "begins with "+e.OldRootPrefix)
	}
	if e.Pack != "" {
		p.entry("New pages", e.Pack)
	}
}

// arrow is a version before and after; 0 is none.
func arrow(before, after int64) string {
	if after == 0 {
		return fmt.Sprintf("%d before, none after", before)
	}
	return fmt.Sprintf("%d before, %d after", before, after)
}

func date(t time.Time) string { return t.Format("2006-01-02 15:04:05 UTC") }

func (p *page) line(s string) { p.WriteString(s + "\n") }

func (p *page) title(s string) { p.line("\n" + s + "\n") }

// entry is a named value, indented below the column of values where it is long.
func (p *page) entry(name, value string) { p.wrap(fmt.Sprintf("%-14s", name), value) }

func (p *page) item(s string) { p.wrap("  - ", s) }

func (p *page) paragraph(s string) { p.wrap("", s) }

// wrap writes s behind lead, and further lines below the end of lead. A word is
// broken only where it is longer than a line.
func (p *page) wrap(lead, s string) {
	room := width - utf8.RuneCountInString(lead)
	at := 0
	p.WriteString(lead)
	for i, word := range strings.Fields(s) {
		n := utf8.RuneCountInString(word)
		if i > 0 && at+1+n > room {
			p.WriteString("\n" + strings.Repeat(" ", width-room))
			at = 0
		} else if i > 0 {
			p.WriteByte(' ')
			at++
		}
		for ; n > room-at; n = utf8.RuneCountInString(word) {
			head := string([]rune(word)[:room-at])
			p.WriteString(head + "\n" + strings.Repeat(" ", width-room))
			word, at = word[len(head):], 0
		}
		p.WriteString(word)
		at += n
	}
	p.WriteByte('\n')
}
