package hashivault

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/lethe-vault/lethe/crypto/keytree"
)

// Logins of one session begin at least minPause apart. The pause doubles, up to
// maxPause, while logins do not live as long as the pause before them.
const (
	minPause = time.Second
	maxPause = 8 * time.Second // so that a Vault that is back serves within 10 s

	filePoll = 2 * time.Second // how often a token file is looked at
)

// A session keeps one role logged in.
type session struct {
	login  Login
	client *api.Client // sends requests; its token is the current one
	door   *api.Client // logs in and renews; owned by run

	once     sync.Once     // closes tried
	tried    chan struct{} // closed when the first login has succeeded or failed
	rejected chan string   // a token that Vault refused
	done     chan struct{} // closed when run has ended
	trouble  atomic.Value  // string: why the last login failed
	alive    atomic.Bool   // the last login has not come to its end
}

func newSession(c Config, login Login) (*session, error) {
	client, err := newClient(c)
	if err != nil {
		return nil, err
	}
	door, err := newClient(c)
	if err != nil {
		return nil, err
	}
	return &session{
		login:    login,
		client:   client,
		door:     door,
		tried:    make(chan struct{}),
		rejected: make(chan string, 1),
		done:     make(chan struct{}),
	}, nil
}

// token waits for the first login to end and gives the current token.
func (s *session) token(ctx context.Context) (string, error) {
	select {
	case <-s.tried:
	case <-ctx.Done():
		return "", fmt.Errorf("not logged in yet: %w: %w", keytree.ErrUnavailable, ctx.Err())
	}
	token := s.client.Token()
	if token == "" {
		return "", fmt.Errorf("not logged in: %v: %w", s.trouble.Load(), keytree.ErrUnavailable)
	}
	return token, nil
}

// refused tells the session that Vault answered 403 to token.
func (s *session) refused(token string) {
	select {
	case s.rejected <- token:
	default: // one notice is enough
	}
}

// run logs in, and again whenever a login has come to its end, until ctx ends.
func (s *session) run(ctx context.Context) {
	defer close(s.done)
	s.trouble.Store("closed")
	defer s.client.ClearToken()
	pause := minPause
	for ctx.Err() == nil {
		began := time.Now()
		s.live(ctx)
		lived := time.Since(began)
		if lived > pause {
			pause = minPause
		} else {
			pause = min(2*pause, maxPause)
		}
		// Jitter parts the replicas that one event has logged out; it is no secret.
		wait := max(0, pause-lived) + rand.N(pause/8)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// live logs in and keeps the token alive until its end.
func (s *session) live(ctx context.Context) {
	s.door.ClearToken()
	auth, err := s.login.login(ctx, s.door)
	if err != nil {
		s.trouble.Store(reason(err))
		s.once.Do(func() { close(s.tried) })
		return
	}
	s.client.SetToken(auth.ClientToken)
	s.alive.Store(true)
	s.once.Do(func() { close(s.tried) })
	s.keep(ctx, auth)
	s.trouble.Store("its login has come to its end")
	s.alive.Store(false)
}

// keep renews the token until it cannot be, is refused, or is replaced.
func (s *session) keep(ctx context.Context, auth *api.SecretAuth) {
	watcher, err := s.watch(auth)
	if err != nil {
		return
	}
	go watcher.Start() // ends with Stop
	defer watcher.Stop()
	expiry := watcher.DoneCh()
	if auth.LeaseDuration == 0 {
		expiry = nil // the token does not expire
	}
	poll := time.NewTicker(filePoll)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-expiry:
			return
		case token := <-s.rejected:
			if token == auth.ClientToken {
				return
			}
		case <-poll.C:
			if f, ok := s.login.(TokenFile); ok && f.replaced(auth.ClientToken) {
				return
			}
		}
	}
}

// watch renews a token that can be renewed and gives up at the first error; of
// any other it only awaits the expiry.
func (s *session) watch(auth *api.SecretAuth) (*api.LifetimeWatcher, error) {
	behavior := api.RenewBehaviorErrorOnErrors
	if !auth.Renewable {
		behavior = api.RenewBehaviorRenewDisabled
	}
	return s.door.NewLifetimeWatcher(&api.LifetimeWatcherInput{
		Secret:        &api.Secret{Auth: auth},
		RenewBehavior: behavior,
	})
}
