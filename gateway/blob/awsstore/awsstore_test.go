package awsstore_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/blob/awsstore"
	"github.com/lethe-vault/lethe/gateway/blob/s3test"
	"github.com/lethe-vault/lethe/test/servers"
)

func TestStore(t *testing.T) {
	s3test.Run(t, s3test.Suite{
		Open: func(ctx context.Context, p s3test.Place) (blob.Store, error) {
			c := awsstore.Config{
				Bucket:    p.Bucket,
				Region:    p.Region,
				Endpoint:  p.Endpoint,
				AccessKey: p.AccessKey,
				SecretKey: p.SecretKey,
				Insecure:  true,
			}
			if p.Transport != nil {
				c.Client = &http.Client{Transport: p.Transport}
			}
			return awsstore.New(ctx, c)
		},
		NoBucket: awsstore.ErrNoBucket,
	})
}

// alone keeps the SDK's default chain from what this machine has.
func alone(t *testing.T) {
	t.Setenv("AWS_CONFIG_FILE", "/nonexistent")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	for _, name := range []string{"AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
		t.Setenv(name, "")
	}
}

func TestCredentialsOfTheEnvironmentOverTLS(t *testing.T) {
	alone(t)
	server := servers.SharedMinIO(t)
	t.Setenv("AWS_ACCESS_KEY_ID", server.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", server.SecretKey)
	front := httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: server.Endpoint})
		r.Out.Host = r.In.Host // it is signed
	}})
	defer front.Close()
	s, err := awsstore.New(t.Context(), awsstore.Config{
		Bucket:   server.Bucket(t, servers.Plain),
		Endpoint: front.Listener.Addr().String(),
		Client:   front.Client(),
	})
	if err != nil {
		t.Fatal(err)
	}
	body := strings.Repeat("ring ", 100_000)
	if err := s.Create(t.Context(), "key", strings.NewReader(body), int64(len(body))); err != nil {
		t.Errorf("Create = %v", err)
	}
}

func TestWhatTheEnvironmentLacks(t *testing.T) {
	alone(t)
	_, err := awsstore.New(t.Context(), awsstore.Config{Bucket: "calls"})
	if !errors.Is(err, awsstore.ErrNoRegion) {
		t.Errorf("New without a region = %v, want %v", err, awsstore.ErrNoRegion)
	}
	_, err = awsstore.New(t.Context(), awsstore.Config{Bucket: "calls", Region: "eu-central-1"})
	if !errors.Is(err, awsstore.ErrNoCredentials) {
		t.Errorf("New without credentials = %v, want %v", err, awsstore.ErrNoCredentials)
	}
}

// asked keeps the last request and answers every one with 200.
type asked struct{ last *http.Request }

func (a *asked) Do(r *http.Request) (*http.Response, error) {
	a.last = r
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}, nil
}

func TestAmazonIsAskedInItsRegionHostStyle(t *testing.T) {
	alone(t)
	t.Setenv("AWS_ENDPOINT_URL", "http://elsewhere.invalid")
	to := &asked{}
	c := awsstore.Config{Bucket: "calls", Region: "eu-central-1", AccessKey: "AK", SecretKey: strings.Repeat("s", 40), Client: to}
	if _, err := awsstore.New(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if want := "https://calls.s3.eu-central-1.amazonaws.com/"; to.last.URL.String() != want {
		t.Errorf("New asks %s, want %s", to.last.URL, want)
	}
	if auth := to.last.Header.Get("Authorization"); !strings.Contains(auth, "/eu-central-1/s3/aws4_request") {
		t.Errorf("signed as %q", auth)
	}
}
