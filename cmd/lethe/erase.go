package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/lethe-vault/lethe/gateway/restapi/client"
	"github.com/lethe-vault/lethe/recording"
)

func (p *program) eraseCommand() *cobra.Command {
	var tenant string
	var what erasable
	var wait waiting
	c := &cobra.Command{
		Use: "erase --tenant T (--recording B/N | --subject S | --day CLASS/DATE)", Short: "Erase a recording, a person or a day for good",
		Long: `Erase makes one recording, all recordings that tell of a data subject, or all that
expire on a day unreadable for good, on every disk and in every backup: their keys
are forgotten. Nothing undoes it. Every read is refused when the command returns;
the certificate that says so follows some 40 seconds later, for which --wait waits.
Should it not have come by --wait-for, the erasure goes on by itself.

A day is a bucket's retention and the date on which what was put under it expires:
the day after the last of its days. If that is what is being put today, what comes
after, until midnight UTC, expires a day later.

The salt is shown once and kept nowhere. The certificate does not say what was
erased, since that may be a name or a number. Whoever has the salt can show that it
is about this recording, person or day; without it nobody can.`,
		Example: `  lethe erase --tenant acme --recording calls/2026/11/23/call.wav --reason "asked by the caller"
  lethe erase --tenant acme --subject +49301234567 --wait
  lethe erase --tenant acme --day 90d/2026-12-31 --json`,
		Args: cobra.NoArgs,
		RunE: work(func(c *cobra.Command, _ []string) error {
			asked, err := what.request()
			if err == nil {
				err = wait.check(c)
			}
			if err != nil {
				return err
			}
			return p.erase(c.Context(), tenant, asked, wait)
		}),
	}
	p.requireTenant(c, &tenant)
	what.add(c)
	wait.add(c)
	return c
}

// erasable is how a person says what to erase.
type erasable struct{ recording, version, subject, day, reason string }

func (w *erasable) add(c *cobra.Command) {
	f := c.Flags()
	once(f, &w.recording, "recording", "BUCKET/NAME of the recording to erase")
	once(f, &w.version, "version", "erase only this version of it; default all")
	once(f, &w.subject, "subject", "data subject to erase, such as +49301234567")
	once(f, &w.day, "day", "retention and date of expiry to erase, such as 90d/2026-12-31")
	reasonFlag(c, &w.reason)
	c.MarkFlagsOneRequired("recording", "subject", "day")
	c.MarkFlagsMutuallyExclusive("recording", "subject", "day")
	c.MarkFlagsMutuallyExclusive("version", "subject")
	c.MarkFlagsMutuallyExclusive("version", "day")
	for _, flag := range []string{"recording", "version", "subject", "day"} {
		must(c.RegisterFlagCompletionFunc(flag, cobra.NoFileCompletions))
	}
}

func reasonFlag(c *cobra.Command, to *string) {
	c.Flags().StringVar(to, "reason", "", `why, for the certificate: it may name nobody and hold no telephone number; default "none given"`)
	must(c.RegisterFlagCompletionFunc("reason", cobra.NoFileCompletions))
}

// onceOnly is the value of a flag that may not be repeated: of two things that were
// meant, one would go unheeded.
type onceOnly string

func once(f *pflag.FlagSet, to *string, name, usage string) { f.Var((*onceOnly)(to), name, usage) }

func (o *onceOnly) Set(s string) error {
	if *o != "" {
		return errors.New("it is given twice; run the command once for each")
	}
	*o = onceOnly(s)
	return nil
}

func (o *onceOnly) String() string { return string(*o) }

// Type is what help calls the value.
func (*onceOnly) Type() string { return "string" }

// request is what the REST API is asked for. What cannot be meant is found out
// here, where it is a misuse.
func (w erasable) request() (client.NewErasure, error) {
	asked := client.NewErasure{Subject: w.subject, Day: w.day, Reason: w.reason}
	if w.day != "" {
		if _, err := recording.ParseRetentionDay(w.day); err != nil {
			return asked, misused{err}
		}
	}
	if w.recording == "" {
		return asked, nil
	}
	of, err := parsePlace(w.recording)
	if err != nil {
		return asked, err
	}
	if w.version != "" {
		if _, err := recording.ParseVersion(w.version); err != nil {
			return asked, misused{err}
		}
	}
	asked.Recording = &client.ErasedRecording{Bucket: string(of.bucket), Name: string(of.name), Version: w.version}
	return asked, nil
}

// erase shows the salt as soon as it has it: it is nowhere else.
func (p *program) erase(ctx context.Context, tenant string, asked client.NewErasure, wait waiting) error {
	api, err := p.api()
	if err != nil {
		return err
	}
	e, err := reply[client.Erasure](api.CreateErasure(ctx, tenant, asked))
	if err != nil {
		return err
	}
	if !p.json {
		if err := p.answerErasure(e); err != nil {
			return err
		}
		p.explainErasure(e, scopeArguments(asked))
	}
	if !wait.wait {
		return p.endErasure(e)
	}
	if e, err = p.untilCertified(ctx, api, e, wait.patience); err != nil {
		return err
	}
	if !p.json {
		fmt.Fprintf(p.errs, "It is certified.\n")
	}
	return p.endErasure(e)
}

// endErasure prints what a program is told when all is done.
func (p *program) endErasure(e client.Erasure) error {
	if !p.json {
		return nil
	}
	return printJSON(p.out, e)
}

func (p *program) answerErasure(e client.Erasure) error {
	rows := table{{"erasure", e.Erasure}, {"state", string(e.State)}}
	if e.Salt != "" {
		rows = append(rows, []string{"salt", e.Salt})
	}
	return p.answer(e, rows)
}

// explainErasure tells a person what has happened, what comes, what the salt is
// for, and how to prove it all; scope is what was erased, as flags.
func (p *program) explainErasure(e client.Erasure, scope string) {
	w := p.errs
	if e.Salt == "" {
		fmt.Fprintf(w, "It was erased before, by this erasure; its salt was shown to whoever asked for that.\n"+
			"Write its certificate to a file: lethe certificate %s erasure.json%s\n", e.Erasure, p.reach())
		return
	}
	fmt.Fprintf(w, `Nothing reads it any more. The certificate follows in about 40 seconds; write it to a file:
  lethe certificate %s erasure.json --wait%s
Keep the salt: it is shown here once, and with it anyone can check what that certificate is about:
  lethe verify certificate erasure.json --key %s --salt %s %s
`, e.Erasure, p.reach(), shellWord(filepath.Join(p.data, publicFile)), e.Salt, scope)
}

// reach gives the flags, but for the token, with which this server was found, for a
// command that is to find it again.
func (p *program) reach() string {
	var b strings.Builder
	for _, f := range [][2]string{{"--data", p.data}, {"--addr", p.addr}, {"--ca", p.ca}} {
		if f[1] != "" {
			b.WriteString(" " + f[0] + " " + shellWord(f[1]))
		}
	}
	return b.String()
}

// scopeArguments are the flags with which lethe verify certificate takes what was
// asked for.
func scopeArguments(asked client.NewErasure) string {
	switch r := asked.Recording; {
	case r != nil && r.Version != "":
		return "--scope-recording " + shellWord(r.Bucket+"/"+r.Name) + " --scope-version " + r.Version
	case r != nil:
		return "--scope-recording " + shellWord(r.Bucket+"/"+r.Name)
	case asked.Subject != "":
		return "--scope-subject " + shellWord(asked.Subject)
	}
	return "--scope-day " + asked.Day
}

// shellWord is a word as a POSIX shell takes it, if a terminal can show it.
func shellWord(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return printable("'" + strings.ReplaceAll(s, "'", `'\''`) + "'")
}

// waiting is whether to wait for a certificate, and for how long.
type waiting struct {
	wait     bool
	patience time.Duration
}

func (w *waiting) add(c *cobra.Command) {
	c.Flags().BoolVar(&w.wait, "wait", false, "return when the certificate is there")
	c.Flags().DurationVar(&w.patience, "wait-for", 2*time.Minute, "how long --wait waits")
}

// check refuses a time to wait for what is not waited for.
func (w *waiting) check(c *cobra.Command) error {
	if !w.wait && c.Flags().Changed("wait-for") {
		return misusef("give --wait too: --wait-for says how long that waits")
	}
	return nil
}

// askEvery is how often an erasure is asked for while waiting. Each time stands in
// the tenant's log.
const askEvery = 2 * time.Second

// untilCertified asks for an erasure until it has its certificate, and shows how
// far it is meanwhile. It keeps the salt. A server that is out of reach for a moment
// leaves the erasure as it was last seen.
func (p *program) untilCertified(ctx context.Context, api *client.Client, e client.Erasure, patience time.Duration) (client.Erasure, error) {
	patient, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	m := p.clock("waiting for the certificate: " + string(e.State))
	defer func() { m.vanish() }()
	for e.State != client.ErasureStateCertified {
		select {
		case <-patient.Done():
			if ctx.Err() != nil {
				return e, unfinished{e, errInterrupted}
			}
			return e, unfinished{e, errNotYet}
		case <-time.After(askEvery):
		}
		now, err := reply[client.Erasure](api.GetErasure(patient, e.Erasure))
		if r, answered := errors.AsType[refused](err); answered && r.Status < http.StatusInternalServerError {
			return e, unfinished{e, err}
		}
		if err != nil {
			continue
		}
		if now.State != e.State {
			m.vanish()
			m = p.clock("waiting for the certificate: " + string(now.State))
		}
		now.Salt = e.Salt
		e = now
	}
	return e, nil
}

// unfinished is an erasure that goes on though nobody waits for it any more.
type unfinished struct {
	erasure client.Erasure
	error
}

func (u unfinished) Unwrap() error { return u.error }

func (u unfinished) Error() string {
	return fmt.Sprintf("%v: erasure %s is %s and goes on by itself; nothing reads what it is about", u.error, u.erasure.Erasure, u.erasure.State)
}

// errNotYet is of an erasure without its certificate.
var errNotYet = errors.New("there is no certificate yet")

func (p *program) erasureCommand() *cobra.Command {
	group := &cobra.Command{
		Use: "erasure", Short: "See erasures",
		Long: `An erasure is a request that something be erased, and what became of it. It is
asked for with lethe erase, or by a deletion over S3, whose answer has its id in
X-Lethe-Erasure, and the salt in X-Lethe-Erasure-Salt.`,
		Example: "  lethe erasure list --tenant acme",
	}
	group.AddCommand(p.listErasuresCommand())
	return needSubcommand(group)
}

// mostListed is the most that the REST API lists at once.
const mostListed = 1000

func (p *program) listErasuresCommand() *cobra.Command {
	var tenant string
	var page client.ListErasuresParams
	c := &cobra.Command{
		Use: "list --tenant T", Short: "List a tenant's erasures, newest first",
		Long: `List shows what was asked to be erased of a tenant, newest first, and how far that
is. It does not show what was erased: nobody knows that any more but whoever asked.

  queued     nothing reads it any more
  punctured  its keys are gone from the newest tree of the tenant's keys
  effective  what opened the older trees is destroyed
  certified  no process can have its keys in memory; the certificate is signed`,
		Example: `  lethe erasure list --tenant acme
  lethe erasure list --tenant acme --limit 1000 --json`,
		Args: cobra.NoArgs,
		RunE: work(func(c *cobra.Command, _ []string) error {
			if page.Limit < 1 || page.Limit > mostListed {
				return misusef("--limit goes from 1 to %d", mostListed)
			}
			api, err := p.api()
			if err != nil {
				return err
			}
			list, err := reply[client.ErasureList](api.ListErasures(c.Context(), tenant, &page))
			if err != nil {
				return err
			}
			if err := p.answer(list, erasureTable(list)); err != nil {
				return err
			}
			if list.Before != "" && !p.json {
				fmt.Fprintf(p.errs, "There are more: give --before %s, or a greater --limit.\n", list.Before)
			}
			return nil
		}),
	}
	p.requireTenant(c, &tenant)
	c.Flags().IntVar(&page.Limit, "limit", 100, "how many to show at most, up to 1000")
	c.Flags().StringVar(&page.Before, "before", "", "show those that were asked for before this erasure")
	must(c.RegisterFlagCompletionFunc("before", cobra.NoFileCompletions))
	return c
}

func erasureTable(list client.ErasureList) table {
	rows := table{{"ASKED", "SCOPE", "STATE", "VERSIONS", "BY", "ERASURE", "REASON"}}
	for _, e := range list.Erasures {
		rows = append(rows, []string{
			e.AskedAt.Format(time.DateTime), string(e.Scope), string(e.State), strconv.FormatInt(e.Unreadable, 10), e.Requester, e.Erasure, e.Reason,
		})
	}
	return rows
}
