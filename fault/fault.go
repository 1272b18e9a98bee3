// Package fault contains faults of the program: a panic in what one client asked for
// must neither end the process for all others nor tell, in what the Go runtime prints
// of it, what that client sent.
package fault

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
)

// ErrPanic: doing this met a fault of the program.
var ErrPanic = errors.New("fault: panic")

// Panic is ErrPanic, and where it was. Of what was at hand it keeps only what the Go
// runtime itself says, for any other value may hold what the client sent.
type Panic struct {
	what  string
	Stack []byte
}

func (p *Panic) Error() string { return fmt.Sprintf("%v: %s", ErrPanic, p.what) }

// Unwrap gives ErrPanic.
func (p *Panic) Unwrap() error { return ErrPanic }

// Contain does something and turns its panic into a *Panic. It is the first call of
// every goroutine that serves a request. The order to cut the connection passes: it
// may come only in the goroutine that net/http made.
func Contain(do func() error) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case runtime.Error:
			err = &Panic{p.Error(), debug.Stack()}
		default:
			if p == any(http.ErrAbortHandler) {
				panic(p) // says no more than that
			}
			err = &Panic{fmt.Sprintf("of a %T", p), debug.Stack()}
		}
	}()
	return do()
}
