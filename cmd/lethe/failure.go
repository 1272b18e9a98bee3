package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// failure is an error of the work itself. Every other error that reaches run
// is about how the command was called.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// misused is a misuse that only the work could notice.
type misused struct{ error }

func (m misused) Unwrap() error { return m.error }

// work marks the errors of a command's work as failures.
func work(do func(c *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		err := do(c, args)
		if _, ok := errors.AsType[misused](err); ok || err == nil {
			return err
		}
		return failure{err}
	}
}

// misusef says how a command was misused.
func misusef(format string, args ...any) error { return misused{fmt.Errorf(format, args...)} }

// complaint is what --json prints of a command that was not done.
type complaint struct {
	Error   string `json:"error"`
	Next    string `json:"next,omitempty"`    // what to do
	Code    string `json:"code,omitempty"`    // as the front that refused has it
	Request string `json:"request,omitempty"` // under which the server knows it
	Erasure string `json:"erasure,omitempty"` // that goes on
	Salt    string `json:"salt,omitempty"`    // of it, which is told here or never
}

// fail tells on standard error what went wrong and what to do next, and gives
// the exit status. Standard output is left to those who ask for one object.
func (p *program) fail(c *cobra.Command, err error) int {
	said, status := complaint{Error: err.Error()}, misuse
	if _, ok := errors.AsType[failure](err); ok {
		status = failed
	}
	said.Code, said.Request = refusalOf(err)
	if u, ok := errors.AsType[unfinished](err); ok {
		said.Erasure, said.Salt = u.erasure.Erasure, u.erasure.Salt
	}
	said.Next = p.next(err)
	if status == misuse {
		said.Next = fmt.Sprintf("See %s --help.", c.CommandPath())
	}
	if p.json {
		_ = printJSON(p.errs, said) // there is nowhere to tell of it
		return status
	}
	fmt.Fprintf(p.errs, "lethe: %s\n", said.Error)
	if said.Next != "" {
		fmt.Fprintln(p.errs, said.Next)
	}
	return status
}

// refusalOf gives the code and the request of what a front refused.
func refusalOf(err error) (code, request string) {
	if r, ok := errors.AsType[refused](err); ok {
		return r.Code, r.RequestId
	}
	if r, ok := errors.AsType[s3refusal](err); ok {
		return r.code, r.request
	}
	return "", ""
}
