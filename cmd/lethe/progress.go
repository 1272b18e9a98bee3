package main

import (
	"errors"
	"io"
	"os"

	"github.com/mattn/go-runewidth"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// meter shows a person how far a transfer is. Whoever makes one ends it.
type meter struct {
	all *mpb.Progress
	bar *mpb.Bar // nil shows nothing
}

// unknownSize is that of a stream.
const unknownSize = -1

// meter begins to show a transfer of size bytes on standard error, if a person
// is looking there and wants to see it.
func (p *program) meter(label string, size int64) *meter {
	if p.json || p.quiet || !isTerminal(p.errs) {
		return &meter{}
	}
	all := mpb.New(mpb.WithOutput(p.errs))
	bar := all.New(0, barStyle(size), append(decorations(label, size), mpb.BarWidth(barWidth))...)
	bar.SetTotal(max(size, 0), false) // it is end that completes it: the server may refuse what was sent whole
	return &meter{all, bar}
}

// clock is a meter of what has no size: it shows a text, and how long ago it began.
func (p *program) clock(text string) *meter {
	if p.json || p.quiet || !isTerminal(p.errs) {
		return &meter{}
	}
	all := mpb.New(mpb.WithOutput(p.errs))
	bar := all.New(0, mpb.NopStyle(), mpb.PrependDecorators(decor.Name(text+"  "), decor.Elapsed(decor.ET_STYLE_GO)))
	return &meter{all, bar}
}

// isTerminal reports whether what is written to w is shown to a person.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// The widths of a bar and of the name beside it, in columns.
const (
	barWidth   = 24
	labelWidth = 28
)

func barStyle(size int64) mpb.BarFillerBuilder {
	if size == unknownSize {
		return mpb.NopStyle()
	}
	return mpb.BarStyle().Lbound("[").Filler("=").Tip(">").Padding(" ").Rbound("]")
}

// decorations are what stands beside a bar: bytes, rate and the time that is
// left. Nobody knows when a stream ends.
func decorations(label string, size int64) []mpb.BarOption {
	label = runewidth.Truncate(printable(label), labelWidth, "…")
	rate := decor.AverageSpeed(decor.SizeB1024(0), "% .1f", decor.WC{W: 13})
	if size == unknownSize {
		return []mpb.BarOption{
			mpb.PrependDecorators(decor.Name(label+"  "), decor.Current(decor.SizeB1024(0), "% .1f")),
			mpb.AppendDecorators(rate),
		}
	}
	left := decor.OnComplete(decor.AverageETA(decor.ET_STYLE_GO, decor.WC{W: 5}), "")
	return []mpb.BarOption{
		mpb.PrependDecorators(decor.Name(label+"  "), decor.Counters(decor.SizeB1024(0), "% .1f / % .1f")),
		mpb.AppendDecorators(decor.Percentage(decor.WC{W: 5}), rate, decor.OnComplete(decor.Name("  ETA"), ""), left),
	}
}

// reader counts what is read from r. It seeks as r does, since a request that
// is sent again reads its body again.
func (m *meter) reader(r io.Reader) io.Reader {
	if m.bar == nil {
		return r
	}
	if s, ok := r.(io.ReadSeeker); ok {
		return metered{s, m.bar}
	}
	return counted{r, m.bar}
}

// end leaves the whole of a transfer that succeeded on the screen, and nothing
// of one that did not, before anything else is printed.
func (m *meter) end(err error) {
	if m.bar == nil {
		return
	}
	if err == nil {
		m.bar.SetTotal(-1, true) // what there is, is all
	} else {
		m.bar.Abort(true)
	}
	m.all.Wait()
}

// vanish ends a transfer that is only a step of another, and leaves nothing.
func (m *meter) vanish() { m.end(errStep) }

var errStep = errors.New("a step is over")

// counted is a reader whose bytes a bar counts.
type counted struct {
	io.Reader
	bar *mpb.Bar
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.bar.IncrBy(n)
	return n, err
}

// metered is counted, of what can be read again.
type metered struct {
	io.ReadSeeker
	bar *mpb.Bar
}

func (m metered) Read(b []byte) (int, error) {
	n, err := m.ReadSeeker.Read(b)
	m.bar.IncrBy(n)
	return n, err
}

func (m metered) Seek(offset int64, whence int) (int64, error) {
	at, err := m.ReadSeeker.Seek(offset, whence)
	if err == nil {
		m.bar.SetCurrent(at)
	}
	return at, err
}
