package doctor

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/lethe-vault/lethe/finding"
	"github.com/lethe-vault/lethe/gateway/catalog"
)

// How far clocks may be apart. SigV4 bears a quarter of an hour, but what is
// kept and for how long hangs on clocks too.
const (
	uneven = time.Second
	wrong  = 30 * time.Second
	broken = 5 * time.Minute
)

// clocks compares this machine's clock with those it depends on.
func (s Subject) clocks(ctx context.Context, survey catalog.Survey) (l finding.List) {
	if survey.Clocked {
		judge(&l, "clock.catalog", "the database's", survey.Clock)
	}
	if !s.Config.Store.Embedded() {
		ask(ctx, &l, "clock.store", "the store's", s.storeURL())
	}
	if at := s.Config.Vault.Address; at != "" {
		ask(ctx, &l, "clock.vault", "Vault's", at+"/v1/sys/health")
	}
	if len(l) == 0 {
		l.Skip("clock", "nothing with a clock of its own is in use", "let this machine's clock be set by NTP: retention goes by it")
	}
	return l
}

// ask reads the clock of an HTTP server, of whatever status its answer is.
func ask(ctx context.Context, l *finding.List, check, whose, url string) {
	if url == "" {
		l.Skip(check, whose+" address is not known here", "give store.region")
		return
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		l.Skip(check, whose+" clock cannot be asked", "see its address")
		return
	}
	sent := time.Now()
	answer, err := stranger.Do(request)
	if err != nil {
		l.Skip(check, whose+" clock cannot be asked: there is no answer", "see the findings on it below")
		return
	}
	answer.Body.Close()
	there, err := http.ParseTime(answer.Header.Get("Date"))
	if err != nil {
		l.Skip(check, whose+" answers have no date", "compare the clocks yourself")
		return
	}
	judge(l, check, whose, apart(there, sent, time.Now()))
}

// apart is how far a clock is surely ahead, or behind, of ours: it told whole
// seconds at some time between sent and received.
func apart(there, sent, received time.Time) time.Duration {
	switch {
	case there.After(received):
		return there.Sub(received)
	case there.Add(time.Second).Before(sent):
		return there.Add(time.Second).Sub(sent)
	}
	return 0
}

func judge(l *finding.List, check, whose string, ahead time.Duration) {
	direction := "ahead of"
	if ahead < 0 {
		direction = "behind"
	}
	what := fmt.Sprintf("%s clock is %v %s this machine's", whose, ahead.Abs().Round(time.Millisecond), direction)
	const do = "have both set by NTP: signatures, leases and expiry go by the clock, expiry by the earliest there is"
	switch off := ahead.Abs(); {
	case off > broken:
		l.Fail(check, what+"; nothing expires while it is more than 5 minutes", do)
	case off > wrong:
		l.Warn(check, what, do)
	case off > uneven:
		l.Advise(check, what, do)
	default:
		l.OK(check, whose+" clock and this machine's are within a second")
	}
}

// stranger sends requests without an identity, and stays where it is sent.
var stranger = &http.Client{
	Timeout:       5 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}
