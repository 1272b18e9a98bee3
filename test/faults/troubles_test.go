package faults_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// hatch makes trouble: each kind once at least, and on until there were enough
// requests.
func (c *canaries) hatch() {
	pause := sized(c.t, 200*time.Millisecond, time.Second, time.Second)
	c.trouble.Go(func() {
		defer func() { // by FailNow too, without a server
			c.done.Store(true)
			c.m.over.Store(c.t.Failed())
		}()
		for !c.satisfied() {
			for _, trouble := range c.troubles() {
				trouble()
				if c.s.Ended(time.Millisecond) {
					log := c.s.Log()
					c.t.Errorf("the server has ended by itself\n%s", log[max(0, len(log)-50_000):])
					return
				}
				c.faults++
				time.Sleep(pause)
				if c.satisfied() {
					return
				}
			}
			c.done.Store(true)
			c.t.Logf("%d requests and %d faults so far", c.m.sent.Load(), c.faults)
		}
	})
}

// satisfied reports whether every trouble was there and enough requests met them.
func (c *canaries) satisfied() bool { return c.done.Load() && c.m.sent.Load() >= c.enough }

// troubles are what may befall the server. After a start it has no lease, and needs
// Vault for the first request.
func (c *canaries) troubles() (all []func()) {
	ends := []func(){c.dumped(syscall.SIGQUIT), c.dumped(syscall.SIGABRT), c.panicked, c.killed}
	for i, x := range sized(c.t, toxics[1:3], toxics, toxics) {
		for _, stream := range sized(c.t, []string{"downstream"}, []string{"downstream", "upstream"}, []string{"downstream", "upstream"}) {
			all = append(all, ends[i%len(ends)])
			for _, part := range []string{"vault", "store", "sql"} {
				all = append(all, c.poisoned(part, x, stream))
			}
		}
		all = append(all, ends[(i+2)%len(ends)])
	}
	for _, at := range []string{"putBegin", "recordingCreate", "uploadBegin", "partBegin", "eraseRows", "journalWrite"} {
		all = append(all, c.panicsAt(at))
	}
	return all
}

func (c *canaries) poisoned(part string, x toxic, stream string) func() {
	return func() {
		poison(c.t, c.ways[part], x, stream)
		time.Sleep(sized(c.t, 500*time.Millisecond, 2*time.Second, 2*time.Second))
		cure(c.t, c.ways[part])
	}
}

// dumped has Go's runtime tell what every goroutine is at.
func (c *canaries) dumped(by syscall.Signal) func() {
	return func() {
		if err := syscall.Kill(c.s.PID(), by); err != nil {
			c.t.Error(err)
		}
		c.restart(by.String())
	}
}

// panicked has a goroutine panic that serves no request.
func (c *canaries) panicked() {
	c.s.arm("anchorWrite", "1*panic")
	c.restart("a panic while it sweeps")
}

func (c *canaries) killed() {
	c.s.Kill()
	c.s.Start()
	c.look()
}

// restart starts a server that something has ended.
func (c *canaries) restart(by string) {
	if !c.s.Ended(time.Minute) {
		c.t.Errorf("the server goes on after %s", by)
	}
	c.killed()
}

// panicsAt has requests panic at a failpoint, with a value that tells of a caller. None
// may come there once there were enough: nobody asks any more.
func (c *canaries) panicsAt(failpoint string) func() {
	return func() {
		c.s.arm(failpoint, `3*panic("`+inNames+" "+plain+`")`)
		for until := time.Now().Add(2 * time.Minute); time.Now().Before(until) && !c.satisfied(); time.Sleep(20 * time.Millisecond) {
			if _, count := c.s.ask("GET", failpoint+"/count", ""); count != "0" {
				break
			}
		}
		if !c.s.disarm(failpoint) && !c.satisfied() && !c.s.Ended(time.Millisecond) {
			c.t.Errorf("no request came to %s", failpoint)
		}
	}
}

// failToStart starts servers whose settings are wrong, and hold a secret.
func (c *canaries) failToStart() {
	secret := c.secrets["the database's password"]
	short := filepath.Join(c.t.TempDir(), "owner.token")
	if err := os.WriteFile(short, []byte(secret[:20]), 0o600); err != nil {
		c.t.Fatal(err)
	}
	for _, env := range [][]string{
		{"LETHE_CATALOG=postgres://lethe:" + secret + "@127.0.0.1:1/lethe"},
		{"LETHE_CATALOG=postgres://lethe:" + secret + "@127.0.0.1:port/lethe"},
		{"LETHE_CATALOG=" + c.catalog + "&" + "sslcert=" + secret},
		{"LETHE_CATALOG=" + c.catalog + "&" + "search_path=nowhere"},
		{"LETHE_CATALOG=mysql://lethe:" + secret + "@127.0.0.1/lethe"},
		{"LETHE_TRACE_ENDPOINT=ftp://lethe:" + secret + "@127.0.0.1/"},
		{"LETHE_VAULT=http://lethe:" + secret + "@127.0.0.1:1", "LETHE_VAULT_TOKEN=" + secret},
		{"LETHE_VAULT=" + c.s.Vault.Addr, "LETHE_VAULT_TOKEN=" + secret},
		{"LETHE_STORE_BUCKET=lethe", "LETHE_STORE_ENDPOINT=127.0.0.1:1", "LETHE_STORE_ACCESS_KEY=lethe", "LETHE_STORE_SECRET_KEY=" + secret},
		{"LETHE_STORE_BUCKET=lethe", "LETHE_STORE_ENDPOINT=" + c.s.Store.Endpoint, "LETHE_STORE_INSECURE=true", "LETHE_STORE_ACCESS_KEY=lethe", "LETHE_STORE_SECRET_KEY=" + secret},
		{"LETHE_STORE_SECRET_KY=" + secret, "LETHE_VAULT_TOKN=" + secret},
		{"LETHE_OWNER_TOKEN_FILE=" + short},
	} {
		c.trouble.Go(func() {
			ctx, cancel := context.WithTimeout(c.t.Context(), 5*time.Second)
			defer cancel()
			cmd := exec.CommandContext(ctx, withFailpoints(c.t).binary, "serve", "--data", c.t.TempDir(), "--log-level", "debug",
				"--listen-s3", "127.0.0.1:0", "--listen-api", "127.0.0.1:0", "--listen-ops", "127.0.0.1:0")
			cmd.Env = append(os.Environ(), env...)
			out, _ := cmd.CombinedOutput() // it fails, or is killed
			c.told.add("starts", out)
		})
	}
}
