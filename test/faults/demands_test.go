package faults_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/test/system"
)

// erase asks for erasures until as many as are due were.
func (e *erasures) erase() {
	for e.asked.Load() < int64(e.due) && !e.t.Failed() {
		time.Sleep(rand.N(sized(e.t, 600*time.Millisecond, 2*time.Second, 2*time.Second)))
		before, demand := e.newest(), e.book.demandAny
		if rand.N(4) == 0 {
			demand = e.book.demandSubject
		}
		if d := demand(before); d != nil {
			e.insist(d)
		}
	}
}

// insist asks for an erasure until it is acknowledged. One client in eight gives up
// at once.
func (e *erasures) insist(d *demand) {
	e.asked.Add(1)
	ask := e.asker(d)
	began := time.Now()
	for {
		at := time.Now()
		id, salt, err := ask(d)
		e.book.tried(d, at, err)
		if err == nil {
			e.book.acknowledged(d, began, id, salt)
			return
		}
		if rand.N(8) == 0 {
			e.book.gaveUp(d)
			return
		}
		if time.Since(began) > certifiedWithin {
			e.t.Errorf("the erasure of a %s is not acknowledged: %v", d.scope.Kind, err)
			return
		}
		time.Sleep(rand.N(500 * time.Millisecond))
	}
}

// asker is one of the ways to ask for an erasure. A recording that the erasure of a
// subject may take meanwhile is deleted over S3, which then answers that it is gone.
func (e *erasures) asker(d *demand) func(*demand) (id, salt string, err error) {
	way := rand.N(6)
	switch {
	case d.maybeTaken() || d.scope.Kind == claim.OfRecording && way < 3:
		return e.askS3
	case way < 5:
		return e.askREST
	}
	return e.askCommand
}

// askS3 deletes a recording as S3's clients do.
func (e *erasures) askS3(d *demand) (id, salt string, err error) {
	s3, _ := e.anyFront().at()
	r := newRequest(e.t, "DELETE", s3+"/"+d.scope.Bucket+"/"+d.scope.Name, nil)
	sign(e.t, r, e.keys)
	a := within(r, answersWithin)
	return a.header.Get("X-Lethe-Erasure"), "", e.accepted("DELETE", a, http.StatusNoContent)
}

// accepted is nil if an answer is the one that is meant. To be told to come back is
// an error like no answer; any other answer is wrong.
func (e *erasures) accepted(what string, a answer, status int) error {
	switch {
	case a.err != nil:
		return a.err
	case a.status == status:
		return nil
	case a.status != http.StatusServiceUnavailable:
		e.t.Errorf("%s: answer %d %q", what, a.status, a.body)
	}
	return fmt.Errorf("%s: answer %d", what, a.status)
}

// toldErasure is what the REST API and the command line tell of an erasure.
type toldErasure struct {
	Erasure, State, Salt string
	Certificate          json.RawMessage
}

// askREST asks for an erasure over the REST API.
func (e *erasures) askREST(d *demand) (id, salt string, err error) {
	asked := map[string]any{"subject": d.scope.Subject}
	if d.scope.Kind == claim.OfRecording {
		asked = map[string]any{"recording": map[string]string{"bucket": d.scope.Bucket, "name": d.scope.Name}}
	}
	body, err := json.Marshal(asked)
	if err != nil {
		return "", "", err
	}
	var answer toldErasure
	err = e.api("POST", "/v1/tenants/acme/erasures", body, http.StatusAccepted, &answer)
	return answer.Erasure, answer.Salt, err
}

// api asks any front.
func (e *erasures) api(method, path string, body []byte, status int, answer any) error {
	_, api := e.anyFront().at()
	r, err := http.NewRequestWithContext(e.t.Context(), method, api+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+e.owner)
	r.Header.Set("Content-Type", "application/json")
	a := within(r, answersWithin)
	if err := e.accepted(method+" "+path, a, status); err != nil {
		return err
	}
	return json.Unmarshal([]byte(a.body), answer)
}

// askCommand asks for an erasure by lethe erase.
func (e *erasures) askCommand(d *demand) (id, salt string, err error) {
	args := []string{"erase", "--json", "--tenant", "acme", "--subject", d.scope.Subject}
	if d.scope.Kind == claim.OfRecording {
		args = []string{"erase", "--json", "--tenant", "acme", "--recording", d.scope.Bucket + "/" + d.scope.Name}
	}
	ctx, cancel := context.WithTimeout(e.t.Context(), answersWithin)
	defer cancel()
	_, api := e.anyFront().at()
	c := exec.CommandContext(ctx, system.Binary(e.t), args...)
	c.Env = append(os.Environ(), "LETHE_ADDR="+api, "LETHE_TOKEN="+e.owner)
	out, err := c.Output()
	if err != nil {
		return "", "", err
	}
	var answer toldErasure
	err = json.Unmarshal(out, &answer)
	return answer.Erasure, answer.Salt, err
}

// newest is the tenant's newest epoch that the store has, or one before it while the
// store does not answer.
func (e *erasures) newest() uint64 {
	for {
		known := e.latest.Load()
		if _, err := e.all[0].Behind().Head(e.t.Context(), e.tenant, known+1); err != nil {
			return known
		}
		e.latest.CompareAndSwap(known, known+1)
	}
}

// watch asks how far the erasures are, and whenever the server says that one is
// effective it looks whether that is so.
func (e *erasures) watch() {
	for !e.ended.Load() && !e.t.Failed() {
		e.look(200)
		time.Sleep(300 * time.Millisecond)
	}
}

// look asks how far the last erasures are.
func (e *erasures) look(last int) {
	var list struct{ Erasures []toldErasure }
	if e.api("GET", fmt.Sprintf("/v1/tenants/acme/erasures?limit=%d", last), nil, http.StatusOK, &list) != nil {
		return
	}
	now := map[string]string{}
	for _, told := range list.Erasures {
		now[told.Erasure] = told.State
	}
	for _, d := range e.book.moved(now) {
		e.isDestroyed(d)
	}
}

// moved notes states of erasures, and gives those that are said to be effective now
// and were not.
func (b *book) moved(now map[string]string) (effective []*demand) {
	b.mu.Lock()
	defer b.mu.Unlock()
	final := []string{"effective", "certified"}
	for _, d := range b.demands {
		state := now[d.id]
		if state == "" {
			continue
		}
		if slices.Contains(final, d.state) && !slices.Contains(final, state) {
			b.t.Errorf("erasure %s was %s and is %s", d.id, d.state, state)
		}
		if slices.Contains(final, state) && !slices.Contains(final, d.state) {
			effective = append(effective, d)
		}
		d.state = state
	}
	return effective
}

// isDestroyed asks whoever has the keys whether what opened the erased is destroyed:
// every head of before the erasure.
func (e *erasures) isDestroyed(d *demand) {
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		err := e.destroyed(d)
		if err == nil {
			return
		}
		if errors.Is(err, errThere) || time.Since(began) > certifiedWithin {
			e.t.Errorf("erasure %s is said to be %s: %v", d.id, d.state, err)
			return
		}
	}
}

var errThere = errors.New("what opens it is still there")

func (e *erasures) destroyed(d *demand) error {
	ctx, cancel := context.WithTimeout(e.t.Context(), answersWithin)
	defer cancel()
	behind := e.all[0].Behind()
	head, err := behind.Head(ctx, e.tenant, d.before)
	if err != nil {
		return err
	}
	oldest, err := behind.Oldest(ctx, keytree.RootOf(e.tenant))
	if err != nil {
		return err
	}
	if oldest <= head.Version {
		return fmt.Errorf("%w: version %d of %d", errThere, oldest, head.Version)
	}
	err = behind.Opens(ctx, head)
	if err == nil {
		return fmt.Errorf("%w: the root of epoch %d opens", errThere, head.Epoch)
	}
	if errors.Is(err, keytree.ErrForgotten) {
		return nil
	}
	return err
}

// certified waits for the certificates of the first erasures, and checks them. The
// others come to be effective at least.
func (e *erasures) certified(first int) {
	var heard []*demand
	for _, d := range e.book.demands {
		if d.id != "" {
			heard = append(heard, d)
		}
	}
	slices.SortFunc(heard, func(a, b *demand) int { return a.heard.Compare(b.heard) })
	for n, d := range heard {
		if n < first {
			e.reaches(d, "certified")
			e.verify(d, n)
		} else {
			e.reaches(d, "effective", "certified")
		}
	}
	if e.all[0].Vault != nil {
		e.epochsFollowVault()
	}
}

// reaches waits until an erasure is in one of the states.
func (e *erasures) reaches(d *demand, states ...string) {
	var now toldErasure
	for end := time.Now().Add(certifiedWithin); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if e.api("GET", "/v1/erasures/"+d.id, nil, http.StatusOK, &now) == nil && slices.Contains(states, now.State) {
			return
		}
	}
	e.t.Errorf("erasure %s of a %s, acknowledged %v ago, is %s", d.id, d.scope.Kind, time.Since(d.heard), now.State)
}

// verify checks a certificate, the first of them by the command line as well.
func (e *erasures) verify(d *demand, n int) {
	var told toldErasure
	if err := e.api("GET", "/v1/erasures/"+d.id, nil, http.StatusOK, &told); err != nil {
		e.t.Error(err)
		return
	}
	public := filepath.Join(e.eraser.Dir, "certificate.pub")
	pem, err := os.ReadFile(public)
	if err != nil {
		e.t.Fatal(err)
	}
	key, err := claim.ParsePublicKey(pem)
	if err != nil {
		e.t.Fatal(err)
	}
	says, err := key.Verify(told.Certificate)
	if err != nil {
		e.t.Errorf("certificate of erasure %s: %v", d.id, err)
		return
	}
	e.says(d, says)
	if n < 3 {
		file := filepath.Join(e.t.TempDir(), "certificate.json")
		if err := os.WriteFile(file, told.Certificate, 0o600); err != nil {
			e.t.Fatal(err)
		}
		if out, err := exec.Command(system.Binary(e.t), "verify", "certificate", file, "--key", public).CombinedOutput(); err != nil {
			e.t.Errorf("lethe verify certificate: %v\n%s", err, out)
		}
	}
	e.book.mu.Lock()
	defer e.book.mu.Unlock()
	e.book.verified++
}

// says compares what a certificate says with what was asked for, and with what
// Vault has said and when.
func (e *erasures) says(d *demand, c *claim.Erasure) {
	if c.ID != d.id || c.Scope.Kind != d.scope.Kind || len(c.Epochs) == 0 {
		e.t.Errorf("the certificate of erasure %s is one of a %s, %s, with %d epochs", d.id, c.Scope.Kind, c.ID, len(c.Epochs))
		return
	}
	if d.salt != "" {
		salt, err := claim.ParseSalt(d.salt)
		if err == nil {
			err = c.Scope.OpenCommitment(salt, d.scope)
		}
		if err != nil {
			e.t.Errorf("the certificate of erasure %s: %v", d.id, err)
		}
	}
	last := c.Epochs[len(c.Epochs)-1]
	if uint64(last.Before) < d.before || last.Key.OldestAfter < last.Key.After {
		e.t.Errorf("the certificate of erasure %s, asked for in epoch %d, says %+v", d.id, d.before, last)
	}
	if e.all[0].Vault != nil {
		e.afterVault("the certificate of erasure "+d.id, int(last.Key.After), c.Dates.Effective)
	}
}

// afterVault checks that something was said only after Vault had answered that
// nothing older than a version is left.
func (e *erasures) afterVault(what string, version int, said time.Time) {
	for _, r := range e.all[0].Oldests(keytree.RootOf(e.tenant)) {
		if r.Version >= version {
			if said.Before(r.At) {
				e.t.Errorf("%s says at %v what Vault did at %v", what, said, r.At)
			}
			return
		}
	}
	e.t.Errorf("%s: Vault never said that nothing below version %d is left", what, version)
}

// epochsFollowVault checks the time at which each epoch became effective, and that of
// all the heads that there were the newest alone opens.
func (e *erasures) epochsFollowVault() {
	ctx := e.t.Context()
	conn, err := pgx.Connect(ctx, e.all[0].Database())
	if err != nil {
		e.t.Fatal(err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, `SELECT version, effective_at FROM epochs WHERE effective_at IS NOT NULL ORDER BY epoch`)
	if err != nil {
		e.t.Fatal(err)
	}
	type effective struct {
		Version int
		At      int64
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[effective])
	if err != nil || len(all) == 0 {
		e.t.Fatalf("epochs: %v, %v", all, err)
	}
	for _, o := range all {
		e.afterVault(fmt.Sprintf("the epoch of version %d", o.Version), o.Version, time.UnixMicro(o.At))
	}
	e.t.Logf("%d epochs", len(all))
}

// oneOpens checks that of all the heads that there were the newest alone opens.
func (e *erasures) oneOpens() {
	behind, newest := e.all[0].Behind(), e.newest()
	for epoch := uint64(0); epoch <= newest; epoch++ {
		head, err := behind.Head(e.t.Context(), e.tenant, epoch)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = behind.Opens(e.t.Context(), head)
		}
		if want := epoch == newest; want && err != nil || !want && !errors.Is(err, keytree.ErrForgotten) {
			e.t.Errorf("the root of epoch %d of %d: %v", epoch, newest, err)
		}
	}
}
