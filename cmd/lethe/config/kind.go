package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// field is a field of a Config as flags and files fill it.
type field[T any] struct {
	at    *T
	is    string // what pflag calls the type
	parse func(string) (T, error)
	print func(T) string
}

// Set takes what was written.
func (f field[T]) Set(written string) error {
	v, err := f.parse(written)
	if err == nil {
		*f.at = v
	}
	return err
}

func (f field[T]) String() string {
	if f.at == nil { // pflag asks a zero value
		return ""
	}
	return f.print(*f.at)
}

// Type names the kind of value.
func (f field[T]) Type() string { return f.is }

// target is the field itself.
func (f field[T]) target() any { return f.at }

func itself(s string) string { return s }

func text(at func(*Config) *string) kind { return checked("text", "string", at, nil) }

// file is the path of a file that is read.
func file(at func(*Config) *string) kind {
	k := checked("file", "file", at, nil)
	k.file = true
	return k
}

// checked is a text that check takes; nil takes every one.
func checked(name, is string, at func(*Config) *string, check func(string) error) kind {
	parse := func(s string) (string, error) {
		if check == nil || s == "" { // as --catalog "" takes back what the environment says
			return s, nil
		}
		return s, check(s)
	}
	return kind{name: name, bind: func(c *Config) pflag.Value { return field[string]{at(c), is, parse, itself} }}
}

// listenAddress is where to listen. There is a default: Load refuses an empty one.
func listenAddress(at func(*Config) *string) kind {
	return checked("HOST:PORT", "address", at, func(s string) error {
		_, port, err := net.SplitHostPort(s)
		if err != nil {
			return errors.New("not HOST:PORT; write 127.0.0.1:9000, or :9000 for every address of the machine")
		}
		if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
			return errors.New("the port is not a number from 0 to 65535")
		}
		return nil
	})
}

// httpURL is the base of another server.
func httpURL(at func(*Config) *string) kind {
	k := checked("URL", "url", at, func(s string) error {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return errors.New("not a URL; write https://HOST:PORT")
		}
		return nil
	})
	k.hide = hideAccess
	return k
}

// oneOf is one of a few words.
func oneOf(at func(*Config) *string, words ...string) kind {
	return checked(strings.Join(words, " or "), "string", at, func(s string) error { return among(s, words) })
}

func among(s string, words []string) error {
	if slices.Contains(words, s) {
		return nil
	}
	return fmt.Errorf("write %s", strings.Join(words, " or "))
}

// database is the address of a catalog, which may hold a password.
func database(at func(*Config) *string) kind {
	k := checked("URL", "url", at, func(s string) error {
		if strings.HasPrefix(s, "sqlite:") || strings.HasPrefix(s, "postgres://") || strings.HasPrefix(s, "postgresql://") {
			return nil
		}
		return errors.New("write postgres://USER@HOST:PORT/DATABASE or sqlite:PATH")
	})
	k.hide = hidePassword
	return k
}

// yes is true or false.
func yes(at func(*Config) *bool) kind {
	parse := func(s string) (bool, error) {
		v, err := strconv.ParseBool(s)
		if err != nil {
			err = errors.New("write true or false")
		}
		return v, err
	}
	return kind{name: "true or false", bind: func(c *Config) pflag.Value { return field[bool]{at(c), "bool", parse, strconv.FormatBool} }}
}

// hour is one of a day.
func hour(at func(*Config) *int) kind {
	parse := func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 || n > 23 {
			err = errors.New("write an hour, 0 to 23")
		}
		return n, err
	}
	return kind{name: "hour", bind: func(c *Config) pflag.Value { return field[int]{at(c), "int", parse, strconv.Itoa} }}
}

// number is a whole number, at least least.
func number(least int, at func(*Config) *int) kind {
	parse := func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < least {
			err = fmt.Errorf("write a whole number, at least %d", least)
		}
		return n, err
	}
	return kind{name: "number", bind: func(c *Config) pflag.Value { return field[int]{at(c), "int", parse, strconv.Itoa} }}
}

// duration is a length of time, at least least.
func duration(least time.Duration, at func(*Config) *time.Duration) kind {
	parse := func(s string) (time.Duration, error) {
		d, err := parseDuration(s)
		if err != nil || d < least {
			err = fmt.Errorf("write a duration such as 30s, 15m, 36h or 7d, at least %s", printDuration(least))
		}
		return d, err
	}
	return kind{name: "duration", bind: func(c *Config) pflag.Value {
		return field[time.Duration]{at(c), "duration", parse, printDuration}
	}}
}

const day = 24 * time.Hour

// parseDuration is time.ParseDuration, and knows days.
func parseDuration(s string) (time.Duration, error) {
	if count, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(count, 10, 16) // a longer one would overflow
		return time.Duration(n) * day, err
	}
	return time.ParseDuration(s)
}

// printDuration leaves out the units that are zero.
func printDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// printDays is printDuration in days, if they are whole.
func printDays(d time.Duration) string {
	if d >= day && d%day == 0 {
		return strconv.Itoa(int(d/day)) + "d"
	}
	return printDuration(d)
}

// level is how much is logged.
func level(at func(*Config) *slog.Level) kind {
	parse := func(s string) (l slog.Level, err error) {
		if err := among(strings.ToLower(s), []string{"debug", "info", "warn", "error"}); err != nil {
			return l, err
		}
		return l, l.UnmarshalText([]byte(s))
	}
	print := func(l slog.Level) string { return strings.ToLower(l.String()) }
	return kind{name: "debug, info, warn or error", bind: func(c *Config) pflag.Value {
		return field[slog.Level]{at(c), "level", parse, print}
	}}
}

// backup is how often copies are made and how long they are kept.
func backup(at func(*Config) *Backup) kind {
	parse := func(s string) (Backup, error) {
		if s == "none" {
			return Backup{Told: true}, nil
		}
		every, kept, both := strings.Cut(s, "/")
		e, wrong := parseDuration(every)
		k, also := parseDuration(kept)
		if !both || wrong != nil || also != nil || e < time.Minute || k < time.Minute {
			return Backup{}, errors.New("write EVERY/KEPT such as 1d/30d, for a copy each day that is kept thirty, or none")
		}
		return Backup{Told: true, Every: e, Kept: k}, nil
	}
	print := func(b Backup) string {
		switch {
		case !b.Told:
			return ""
		case b.Every == 0:
			return "none"
		}
		return printDays(b.Every) + "/" + printDays(b.Kept)
	}
	return kind{name: "EVERY/KEPT or none", bind: func(c *Config) pflag.Value {
		return field[Backup]{at(c), "every/kept", parse, print}
	}}
}

// share is a number from 0 to 1.
func share(at func(*Config) *float64) kind {
	return kind{name: "number from 0 to 1", bind: func(c *Config) pflag.Value {
		return field[float64]{
			at: at(c), is: "float",
			parse: func(s string) (float64, error) {
				n, err := strconv.ParseFloat(s, 64)
				if err != nil || !(n >= 0 && n <= 1) { // NaN is neither
					return 0, errors.New("write a number from 0 to 1")
				}
				return n, nil
			},
			print: func(n float64) string { return strconv.FormatFloat(n, 'g', -1, 64) },
		}
	}}
}
