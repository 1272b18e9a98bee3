// Package finding is what a check of a running or planned vault found out, for
// the person who has to act on it. Whatever has a check of its own gives a List;
// lethe doctor collects and prints them.
package finding

// Level says how bad a finding is.
type Level string

// The levels, from good to bad. What was skipped could not be found out.
const (
	OK      Level = "ok"
	Skipped Level = "skipped"
	Advice  Level = "advice"
	Warning Level = "warning"
	Failure Level = "failure"
)

// A Finding is one thing that was looked at. It holds no secret, and nothing
// that a stranger could have chosen.
type Finding struct {
	Check string `json:"check"` // what was looked at, as "store.create"
	Level Level  `json:"level"`
	What  string `json:"what"`         // one sentence
	Do    string `json:"do,omitempty"` // what to do about it; "" where nothing is to be done
}

// List is findings in the order they were made.
type List []Finding

// OK notes that all is well.
func (l *List) OK(check, what string) { l.add(Finding{check, OK, what, ""}) }

// Skip notes what could not be found out, why, and what would help.
func (l *List) Skip(check, what, do string) { l.add(Finding{check, Skipped, what, do}) }

// Advise notes what could be better.
func (l *List) Advise(check, what, do string) { l.add(Finding{check, Advice, what, do}) }

// Warn notes what breaks a promise when something else goes wrong.
func (l *List) Warn(check, what, do string) { l.add(Finding{check, Warning, what, do}) }

// Fail notes what breaks a promise.
func (l *List) Fail(check, what, do string) { l.add(Finding{check, Failure, what, do}) }

func (l *List) add(f Finding) { *l = append(*l, f) }

// Count gives how many findings have the level.
func (l List) Count(of Level) (n int) {
	for _, f := range l {
		if f.Level == of {
			n++
		}
	}
	return n
}
