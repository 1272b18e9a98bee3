package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lethe-vault/lethe/gateway/restapi/client"
)

// apiTimeout bounds one call of the REST API, and patientTimeout one that works
// through the whole store.
const (
	apiTimeout     = time.Minute
	patientTimeout = 12 * time.Hour
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 64 << 20

// api reaches the REST API that flags, --data or the environment name, in
// that order.
func (p *program) api() (*client.Client, error) { return p.apiWithin(apiTimeout) }

// patientAPI is api for what takes long.
func (p *program) patientAPI() (*client.Client, error) { return p.apiWithin(patientTimeout) }

func (p *program) apiWithin(timeout time.Duration) (*client.Client, error) {
	addr, token, err := p.operator()
	if err != nil {
		return nil, err
	}
	switch {
	case addr == "":
		return nil, misusef("which server? give --addr, LETHE_ADDR, or --data DIR of an embedded server")
	case token == "":
		return nil, misusef("no token: give --token, LETHE_TOKEN, or --data DIR of an embedded server")
	}
	base, err := origin(addr)
	if err != nil {
		return nil, err
	}
	bearer := func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+token)
		return nil
	}
	transport, err := p.transport()
	if err != nil {
		return nil, err
	}
	return client.NewClient(base.String(), client.WithHTTPClient(&http.Client{
		Transport:     transport,
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the token stays here
	}), client.WithRequestEditorFn(bearer))
}

// transport speaks to a server, and trusts the certificates that flags, --data
// or the environment name, in that order, beside the system's.
func (p *program) transport() (*http.Transport, error) {
	ca := p.ca
	if p.data != "" && ca == "" {
		if local, err := readServer(p.data); err == nil { // an address may be given instead
			ca = local.CA
		}
	}
	config, err := trust(cmp.Or(ca, os.Getenv("LETHE_CA")))
	if err != nil {
		return nil, misused{err}
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = config
	return t, nil
}

// operator gives the address and the token to use; "" for what nothing names.
func (p *program) operator() (addr, token string, err error) {
	addr, token = p.addr, p.token
	if p.data != "" && addr == "" {
		local, err := readServer(p.data)
		if err != nil {
			return "", "", err
		}
		addr = local.API
	}
	if p.data != "" && token == "" {
		if token, err = readToken(filepath.Join(p.data, ownerFile)); err != nil {
			return "", "", err
		}
	}
	return cmp.Or(addr, os.Getenv("LETHE_ADDR")), cmp.Or(token, os.Getenv("LETHE_TOKEN")), nil
}

// origin reads an address as a user gives it. Without a scheme, plain HTTP is
// for this machine only: a secret travels with every request.
func origin(addr string) (*url.URL, error) {
	if !strings.Contains(addr, "://") {
		addr = scheme(addr) + "://" + addr
	}
	u, err := url.Parse(addr)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || strings.Trim(u.Path, "/") != "" {
		return nil, misusef("%q is not an address; give HOST:PORT or https://HOST:PORT", addr)
	}
	return u, nil
}

func scheme(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if ip := net.ParseIP(host); err == nil && (host == "localhost" || ip != nil && ip.IsLoopback()) {
		return "http"
	}
	return "https"
}

// reply reads what the REST API answered: a T, or the problem it had.
func reply[T any](res *http.Response, err error) (answer T, _ error) {
	if err != nil {
		return answer, unreachable(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return answer, unreachable(err)
	}
	if res.StatusCode >= 300 {
		var problem client.Problem
		if json.Unmarshal(body, &problem) != nil || problem.Code == "" {
			res.Body = io.NopCloser(bytes.NewReader(body))
			return answer, stranger(res)
		}
		return answer, refused(problem)
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return answer, errors.New("the server's answer is not what this version of lethe understands; use the same version as the server")
	}
	return answer, nil
}

// refused is a problem that the REST API answered with.
type refused client.Problem

func (r refused) Error() string {
	return fmt.Sprintf("%s. %s (%s, request %s)", r.Title, r.Detail, r.Code, r.RequestId)
}

// What stands at an address instead of the front that was looked for.
var (
	errSpeaksTLS = errors.New("the server speaks TLS, and the address says plain HTTP")
	errIsS3      = errors.New("this is the address of an S3 front, not of a REST API")
	errIsAPI     = errors.New("this is the address of a REST API, not of an S3 front")
	errStranger  = errors.New("something else than Lethe answers at this address")
)

// stranger tells what gave an answer that the front looked for never gives.
func stranger(res *http.Response) error {
	start := make([]byte, 64)
	n, _ := io.ReadFull(res.Body, start)
	body := res.Body
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(start[:n]), body), body}
	kind := res.Header.Get("Content-Type")
	switch {
	case strings.Contains(string(start[:n]), "HTTP request to an HTTPS server"): // as net/http says
		return errSpeaksTLS
	case res.Header.Get("X-Amz-Request-Id") != "":
		return errIsS3
	case strings.HasPrefix(kind, "application/problem+json"):
		return errIsAPI
	}
	return fmt.Errorf("%w: %s", errStranger, res.Status)
}

// errInterrupted is what becomes of work that a signal ended.
var errInterrupted = errors.New("interrupted")

// unreachable is that a server gave no answer.
func unreachable(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, errInterrupted) {
		return errInterrupted
	}
	if broken, ok := errors.AsType[*url.Error](err); ok {
		err = broken.Err // without the address, which repeats what the user gave
	}
	return fmt.Errorf("no answer from the server: %w", err)
}
