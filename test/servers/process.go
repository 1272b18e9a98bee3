package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// readyWithin bounds how long a server may take to answer, on a busy machine.
const readyWithin = 90 * time.Second

// stopWithin bounds how long a server may take to end in order; then it is killed.
const stopWithin = 20 * time.Second

// A process is one run of a server.
type process struct {
	cmd   *exec.Cmd
	log   string        // path of the file that takes its output
	ended chan struct{} // closed when the process has been waited for
}

// start runs cmd in a process group of its own, its output appended to the
// file log. When this process ends the kernel sends it cmd's Pdeathsig, or
// SIGKILL if that is not set.
func start(cmd *exec.Cmd, log string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	if cmd.SysProcAttr.Pdeathsig == 0 {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	if err := onLastingThread(cmd.Start); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, log: log, ended: make(chan struct{})}
	go func() { // ends with the process
		cmd.Wait() // how it ended shows in its log
		close(p.ended)
	}()
	return p, nil
}

// onLastingThread runs f on a thread that lives as long as the test binary,
// since a parent-death signal fires when the thread that forked ends.
// Source: prctl(2), PR_SET_PDEATHSIG.
func onLastingThread(f func() error) error {
	result := make(chan error)
	lastingThread() <- func() { result <- f() }
	return <-result
}

var lastingThread = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() { // never ends
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

// signal sends sig to the server's process group, unless the server has ended
// and its number may be another's.
func (p *process) signal(sig syscall.Signal) {
	select {
	case <-p.ended:
	default:
		syscall.Kill(-p.cmd.Process.Pid, sig)
	}
}

// kill ends the server as a power cut would.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// stop asks the server to end with sig, and kills it if it does not.
func (p *process) stop(sig syscall.Signal) {
	p.signal(sig)
	select {
	case <-p.ended:
	case <-time.After(stopWithin):
		p.kill()
	}
}

// waitReady polls probe until it succeeds. When it does not in time, or the
// process ends, the process is killed and the error carries the end of its log.
func (p *process) waitReady(probe func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), readyWithin)
	defer cancel()
	for {
		err := probe(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return p.failure(errEnded)
		case <-ctx.Done():
			p.kill()
			return p.failure(err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

var (
	errEnded    = errors.New("server ended before it was ready")
	errPortUsed = errors.New("port was taken meanwhile")
)

// failure adds the last lines of the log to err.
func (p *process) failure(err error) error {
	b, _ := os.ReadFile(p.log) // without a log there is nothing to add
	if bytes.Contains(bytes.ToLower(b), []byte("address already in use")) {
		err = errPortUsed
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	lines = lines[max(0, len(lines)-25):]
	return fmt.Errorf("servers: %s: %w; its log ends\n%s", p.cmd.Path, err, strings.Join(lines, "\n"))
}

// freePort finds a loopback port that is free now. Another process may take
// it before a server does: see retryPort.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// retryPort runs start again, with other ports, while it loses the race for them.
func retryPort(start func() error) (err error) {
	for range 5 {
		if err = start(); !errors.Is(err, errPortUsed) {
			return err
		}
	}
	return err
}

// probeHTTP asks url once and reports an error for any status but 200 and those given.
func probeHTTP(url string, also ...int) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := probeClient.Do(req)
		if err != nil {
			return err
		}
		resp.Body.Close()
		for _, status := range append(also, http.StatusOK) {
			if resp.StatusCode == status {
				return nil
			}
		}
		return fmt.Errorf("health is %s", resp.Status)
	}
}

var probeClient = &http.Client{
	Timeout:   5 * time.Second,
	Transport: &http.Transport{DisableKeepAlives: true},
}

// environment is what a server sees of ours: no GODEBUG, no proxy, no cloud
// credentials of whoever runs the tests.
func environment(home string, more ...string) []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home, "LC_ALL=C"}, more...)
}
