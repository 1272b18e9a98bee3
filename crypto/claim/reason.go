package claim

import (
	"errors"
	"unicode"
	"unicode/utf8"
)

// ErrReason is of a reason that may not stand in a certificate.
var ErrReason = errors.New("a reason has 1 to 128 printable characters and no 7 digits without a letter between them, since certificates must not hold telephone numbers")

const (
	maxReason = 128
	maxDigits = 6
)

// CheckReason accepts 1 to 128 printable characters that cannot hold a
// telephone number: there are no 7 digits, of any script, without a letter
// between them. So spaces, dots, dashes, brackets and the like hide none.
func CheckReason(s string) error {
	if !isText(s) || utf8.RuneCountInString(s) > maxReason {
		return ErrReason
	}
	digits := 0
	for _, r := range s {
		switch {
		case unicode.IsNumber(r):
			digits++
		case unicode.IsLetter(r):
			digits = 0
		}
		if digits > maxDigits {
			return ErrReason
		}
	}
	return nil
}
