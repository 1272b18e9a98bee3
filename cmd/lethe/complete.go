package main

import (
	"context"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lethe-vault/lethe/gateway/restapi/client"
)

// completeWithin bounds what a shell waits for when a person presses Tab.
const completeWithin = time.Second

// completion answers a shell: words to go on with. Whatever fails, it is silent
// and has none. Names of recordings are never among them: to list them is an
// access, which the log would have to explain.
type completion = func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective)

// completeTenant completes the one argument of a command.
func (p *program) completeTenant(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return p.completeTenants(c, args, typed)
}

// completeTenants gives the tenants that the token may see.
func (p *program) completeTenants(c *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(c.Context(), completeWithin)
	defer cancel()
	api, err := p.api()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	list, err := reply[client.TenantList](api.ListTenants(ctx))
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, t := range list.Tenants {
		if t.State != client.TenantStateErased {
			names = append(names, t.Tenant)
		}
	}
	return beginning(typed, names), cobra.ShellCompDirectiveNoFileComp
}

// completeBuckets gives the buckets that a reader sees, with end after each. A
// second argument is a file.
func (p *program) completeBuckets(end string) completion {
	return func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveDefault
		}
		ctx, cancel := context.WithTimeout(c.Context(), completeWithin)
		defer cancel()
		const directive = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
		front, err := p.front()
		if err != nil {
			return nil, directive
		}
		buckets, err := front.ListBuckets(ctx)
		if err != nil {
			return nil, directive
		}
		var names []string
		for _, b := range buckets {
			names = append(names, b.Name+end)
		}
		return beginning(typed, names), directive
	}
}

// plainWord is a word that every shell takes as it is.
var plainWord = regexp.MustCompile(`^[\pL\pN._/@+-]+$`)

// beginning gives the names that begin with what was typed. Names come from
// strangers: one that a shell might read otherwise has to be typed.
func beginning(typed string, names []string) (fit []string) {
	for _, name := range names {
		if strings.HasPrefix(name, typed) && plainWord.MatchString(name) {
			fit = append(fit, name)
		}
	}
	return fit
}

// completeWords gives the values that a flag has.
func completeWords(c *cobra.Command, flag string, words ...string) {
	must(c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)))
}
