package hashivault

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/lethe-vault/lethe/observe"
)

// as gives the configuration of one role's session: its requests are told to
// the observer as that role's.
func (c Config) as(role Role) Config {
	c.Transport = observed{c.Transport, c.Observer, role}
	return c
}

// observed tells of every request that goes to Vault, whoever makes it.
type observed struct {
	next     http.RoundTripper
	observer observe.Observer
	role     Role
}

func (o observed) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, end := o.observer.Begin(r.Context(), observe.Call{
		Part: observe.Vault, Operation: operation(r.Method, r.URL.Path), Role: string(o.role),
	})
	answer, err := o.next.RoundTrip(r.WithContext(ctx))
	end(outcome(answer, err))
	return answer, err
}

func outcome(answer *http.Response, err error) observe.Outcome {
	switch {
	case errors.Is(err, context.Canceled):
		return observe.Cancelled
	case err != nil:
		return observe.Unavailable
	case answer.StatusCode < 400:
		return observe.OK
	case answer.StatusCode == http.StatusPreconditionFailed, answer.StatusCode == http.StatusTooManyRequests,
		answer.StatusCode >= 472: // behind, limiting the rate, standby, sealed
		return observe.Unavailable
	}
	return observe.Refused
}

// endings are the last elements of the paths that this package posts to, and
// what such a request is called.
var endings = map[string]string{
	"rotate": "rotate", "config": "config", "trim": "trim",
	"login": "login", "lookup-self": "lookup", "renew-self": "renew",
}

// operation names a request in one of a few words, without the key it is about.
func operation(method, path string) string {
	elements := strings.Split(path, "/")
	last, before := elements[len(elements)-1], elements[max(0, len(elements)-2)]
	if name, ok := endings[last]; ok {
		return name
	}
	switch {
	case before == "decrypt", before == "encrypt":
		return before
	case before == "keys" && method == http.MethodGet:
		return "read"
	case before == "keys" && method == http.MethodDelete:
		return "delete"
	case before == "keys":
		return "create"
	}
	return "other"
}
