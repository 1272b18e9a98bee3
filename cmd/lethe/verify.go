package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/recording"
)

func (p *program) verifyCommand() *cobra.Command {
	group := &cobra.Command{
		Use: "verify", Short: "Check what a server has signed, without it",
		Long: `Verify checks what a server has signed. It needs no server and no network: the
signed file, and the public key of whoever signed it.`,
		Example: "  lethe verify certificate erasure.json --key certificate.pub",
	}
	group.AddCommand(p.verifyCertificateCommand())
	return needSubcommand(group)
}

// verified is what verify certificate prints.
type verified struct {
	Key         string         `json:"key"`
	Algorithm   string         `json:"algorithm"`
	ScopeOpened bool           `json:"scope_opened"`
	Checked     []string       `json:"checked"`
	NotChecked  []string       `json:"not_checked"`
	Certificate *claim.Erasure `json:"certificate"`
}

func (p *program) verifyCertificateCommand() *cobra.Command {
	var key string
	var about scopeFlags
	c := &cobra.Command{
		Use: "certificate FILE", Short: "Check a certificate of erasure, and print it as text",
		Long: `Certificate checks that a certificate of erasure is whole and was signed with the
key in --key, then says what was checked and what was not, and prints it as text.
Get the key from the operator by another way than the certificate: the file
certificate.pub of the server's data directory.

A certificate does not hold what was erased. With the salt that was given to
whoever asked for the erasure, and the recording, subject or day, it is also
checked that the certificate is about that.

The exit status is 1 if anything does not hold.`,
		Example: `  lethe verify certificate erasure.json --key certificate.pub
  lethe verify certificate erasure.json --key certificate.pub --salt 5a…5a --scope-subject +49301234567`,
		Args: cobra.ExactArgs(1),
		RunE: work(func(_ *cobra.Command, args []string) error {
			opens, err := about.parse()
			if err != nil {
				return err
			}
			v, err := verifyCertificate(args[0], key, opens)
			if err != nil {
				return err
			}
			return p.answerVerified(v)
		}),
	}
	c.Flags().StringVar(&key, "key", "", "PEM file of the public key of whoever signed it")
	must(c.MarkFlagRequired("key"))
	about.add(c)
	return c
}

// answerVerified prints what was found, and the certificate.
func (p *program) answerVerified(v verified) error {
	var rows table
	for _, s := range v.Checked {
		rows = append(rows, []string{"checked", s})
	}
	for _, s := range v.NotChecked {
		rows = append(rows, []string{"not checked", s})
	}
	if err := p.answer(v, rows); err != nil || p.json {
		return err
	}
	_, err := fmt.Fprintf(p.out, "\n%s", v.Certificate.Text())
	return err
}

// verifyCertificate checks a file by the key in another; opens may be nil.
func verifyCertificate(file, keyFile string, opens *opening) (v verified, err error) {
	pem, err := os.ReadFile(keyFile)
	if err != nil {
		return v, err
	}
	key, err := claim.ParsePublicKey(pem)
	if err != nil {
		return v, fmt.Errorf("%s: %w", keyFile, err)
	}
	signed, err := os.ReadFile(file)
	if err != nil {
		return v, err
	}
	e, err := key.Verify(signed)
	if err != nil {
		return v, fmt.Errorf("%s: %w", file, err)
	}
	if opens != nil {
		if err := e.Scope.OpenCommitment(opens.salt, opens.scope); err != nil {
			return v, fmt.Errorf("%s: %w", file, err)
		}
	}
	v = verified{Key: key.ID(), Algorithm: key.Algorithm(), ScopeOpened: opens != nil, Certificate: e}
	v.say()
	return v, nil
}

// say tells what was checked and what was not.
func (v *verified) say() {
	v.Checked = []string{
		"it was signed (" + v.Algorithm + ") with the key " + v.Key,
		"it is whole: every part of a certificate of this version is there",
	}
	scope := "that it is about a certain " + string(v.Certificate.Scope.Kind) + ": give --salt and a --scope-… flag"
	switch {
	case v.ScopeOpened:
		v.Checked = append(v.Checked, "it is about this "+string(v.Certificate.Scope.Kind)+": salt and scope give its commitment")
	case v.Certificate.Scope.Kind == claim.OfTenant:
		v.Checked = append(v.Checked, "it is about the whole of the tenant whose id it names")
	default:
		v.NotChecked = append(v.NotChecked, scope)
	}
	v.NotChecked = append(v.NotChecked,
		"whose key that is: you know by how you got it",
		"that what it says was done: that is the word of whoever signed it",
	)
}

// opening is what a commitment is opened with.
type opening struct {
	salt  claim.Salt
	scope claim.Scope
}

// scopeFlags are how a person gives an opening.
type scopeFlags struct{ salt, recording, version, subject, day, tenant string }

func (f *scopeFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.salt, "salt", "", "salt that was given to whoever asked for the erasure, 64 hex digits")
	c.Flags().StringVar(&f.recording, "scope-recording", "", "BUCKET/NAME that the certificate should be about")
	c.Flags().StringVar(&f.version, "scope-version", "", "version of that recording, if only it was erased")
	c.Flags().StringVar(&f.subject, "scope-subject", "", "data subject that it should be about")
	c.Flags().StringVar(&f.day, "scope-day", "", "RETENTION/DATE that it should be about, as 90d/2026-12-31")
	c.Flags().StringVar(&f.tenant, "scope-tenant", "", "id of the tenant that it should be about, if that was erased")
	c.MarkFlagsMutuallyExclusive("scope-recording", "scope-subject", "scope-day", "scope-tenant")
}

// parse gives nil if no flag was given.
func (f *scopeFlags) parse() (*opening, error) {
	if *f == (scopeFlags{}) {
		return nil, nil
	}
	scope, err := f.scope()
	if err != nil {
		return nil, err
	}
	if f.salt == "" {
		return nil, misusef("give --salt too: without it nobody can tell what a certificate is about")
	}
	salt, err := claim.ParseSalt(f.salt)
	if err != nil {
		return nil, misused{err}
	}
	if _, err := scope.JSON(); err != nil {
		return nil, misused{err}
	}
	return &opening{salt, scope}, nil
}

func (f *scopeFlags) scope() (s claim.Scope, err error) {
	switch {
	case f.version != "" && f.recording == "":
		return s, misusef("give --scope-recording too: a version is one of a recording")
	case f.recording != "":
		of, err := parsePlace(f.recording)
		if err != nil {
			return s, err
		}
		s = claim.Scope{Kind: claim.OfRecording, Bucket: string(of.bucket), Name: string(of.name), Version: f.version}
		if f.version != "" {
			s.Kind = claim.OfVersion
		}
		return s, nil
	case f.subject != "":
		return claim.Scope{Kind: claim.OfSubject, Subject: string(recording.NormalizeSubject(f.subject))}, nil
	case f.day != "":
		class, date, _ := strings.Cut(f.day, "/")
		return claim.Scope{Kind: claim.OfDay, Class: class, Date: date}, nil
	case f.tenant != "":
		return claim.Scope{Kind: claim.OfTenant, Tenant: f.tenant}, nil
	}
	return s, misusef("give one of --scope-recording, --scope-subject, --scope-day and --scope-tenant too: what the certificate should be about")
}
