package s3api_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/s3api"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// dribble sends the head of r, and then a byte at a time.
func (v *vault) dribble(r *http.Request, body string, pause time.Duration) string {
	v.t.Helper()
	conn, err := net.Dial("tcp", v.host)
	if err != nil {
		v.t.Fatal(err)
	}
	defer conn.Close()
	r.Header.Set("Connection", "close")
	var head strings.Builder
	if err := r.Write(&head); err != nil {
		v.t.Fatal(err)
	}
	io.WriteString(conn, head.String()[:strings.Index(head.String(), "\r\n\r\n")+4])
	go func() { // ends with conn
		for i := range len(body) {
			time.Sleep(pause)
			if _, err := io.WriteString(conn, body[i:i+1]); err != nil {
				return
			}
		}
	}()
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	answer, _ := io.ReadAll(conn)
	return string(answer)
}

// An upload below the least rate is refused while it still comes, and leaves
// nothing; one above it may take as long as it needs.
func TestSlowUpload(t *testing.T) {
	v := newVaultOn(t, plainHTTP, s3api.Config{}, func(f *s3api.Front) { f.SetPace(300*time.Millisecond, 8, time.Minute) })
	content := strings.Repeat("x", 40)
	for name, pause := range map[string]time.Duration{"slow": 60 * time.Millisecond, "stuck": time.Hour} {
		answer := v.dribble(v.request(v.recorder, "PUT", "/calls/"+name, content, unchanged), content, pause)
		if !strings.Contains(answer, " 400 ") || !strings.Contains(answer, "RequestTimeout") {
			t.Errorf("%s: answered %q, want RequestTimeout", name, answer)
		}
		v.wantNothing(name)
	}
	answer := v.dribble(v.request(v.recorder, "PUT", "/calls/steady", content, unchanged), content, 10*time.Millisecond)
	if !strings.Contains(answer, " 200 ") {
		t.Errorf("steady: answered %q, want 200", answer)
	}
}

// A reader that takes nothing is cut off.
func TestStuckDownload(t *testing.T) {
	v := newVaultOn(t, plainHTTP, s3api.Config{}, func(f *s3api.Front) { f.SetPace(time.Minute, 1, 200*time.Millisecond) })
	content := strings.Repeat("0123456789abcdef", 1<<20)
	if err := v.put(v.recorder, "call", content); err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(v.request(v.reader, "GET", "/calls/call", "", unchanged))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	time.Sleep(time.Second)
	if n, err := io.Copy(io.Discard, answer.Body); err == nil {
		t.Errorf("got all %d bytes after standing still for a second, want the connection cut", n)
	}
}

// The limit on uploads is none on how long a download may take.
func TestLongDownload(t *testing.T) {
	v := newVaultOn(t, plainHTTP, s3api.Config{}, func(f *s3api.Front) { f.SetPace(100*time.Millisecond, 1<<20, time.Minute) })
	content := strings.Repeat("0123456789abcdef", 1<<20)
	if err := v.put(v.recorder, "call", content); err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(v.request(v.reader, "GET", "/calls/call", "", unchanged))
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond)
	if got := read(t, answer.Body); got != content {
		t.Errorf("got %d bytes, want %d", len(got), len(content))
	}
}

// One access key has only so many requests under way; others are not touched.
func TestInFlight(t *testing.T) {
	v := newVaultOn(t, plainHTTP, s3api.Config{MaxInFlight: 1})
	entered, leave := make(chan struct{}), make(chan struct{})
	body, in := io.Pipe()
	// The server asks for the body only once the request has its place, and the
	// client, which waits for that, reads nothing of the pipe before.
	r := v.request(v.recorder, "PUT", "/calls/call", "ab", func(r *http.Request) { r.Header.Set("Expect", "100-continue") })
	r.Body = body
	patient := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute}}
	defer patient.CloseIdleConnections()
	ended := make(chan int, 1)
	go func() { // ends with the answer
		answer, err := patient.Do(r)
		if err != nil {
			ended <- 0
			return
		}
		answer.Body.Close()
		ended <- answer.StatusCode
	}()
	go func() { // ends with leave
		io.WriteString(in, "a")
		close(entered)
		<-leave
		io.WriteString(in, "b")
		in.Close()
	}()
	<-entered
	if status, code := v.send(v.request(v.recorder, "GET", "/calls/call", "", unchanged)); status != 503 || code != "SlowDown" {
		t.Errorf("a second request: %d %s, want SlowDown", status, code)
	}
	if status, code := v.send(v.request(v.reader, "GET", "/calls/absent", "", unchanged)); status != 404 {
		t.Errorf("another access key: %d %s, want 404", status, code)
	}
	close(leave)
	if status := <-ended; status != 200 {
		t.Errorf("the first request: %d, want 200", status)
	}
	if strings.Contains(v.log.String(), "request failed") {
		t.Errorf("a client's haste was logged as the vault's: %s", v.log)
	}
}

func TestHostStyle(t *testing.T) {
	domains := []string{"s3.example.org", "other.example"}
	for host, want := range map[string]string{
		"calls.s3.example.org":      "calls",
		"calls.s3.example.org:9000": "calls",
		"Calls.S3.example.ORG":      "calls",
		"a.b.other.example":         "a.b",
		"s3.example.org":            "",
		"s3.example.org:9000":       "",
		".s3.example.org":           "",
		"callss3.example.org":       "",
		"s3.example.org.evil":       "",
		"127.0.0.1:9000":            "",
		"[::1]:9000":                "",
		"":                          "",
	} {
		if got := s3api.HostBucket(host, domains); got != want {
			t.Errorf("HostBucket(%q) = %q, want %q", host, got, want)
		}
	}
	v := newVaultOn(t, plainHTTP, s3api.Config{Domains: domains})
	if err := v.put(v.recorder, "dir//call", "path style"); err != nil {
		t.Fatal(err)
	}
	client := s3.New(v.aws(v.reader).Options(), func(o *s3.Options) {
		o.UsePathStyle = false
		o.BaseEndpoint = aws.String("http://s3.example.org")
		o.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", v.host)
		}}}
	})
	get, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(calls), Key: aws.String("dir//call")})
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, get.Body); got != "path style" {
		t.Errorf("read %q", got)
	}
	list, err := client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(calls)})
	if err != nil || len(list.Contents) != 1 {
		t.Errorf("ListObjectsV2 = %+v, %v", list, err)
	}
}

// A bucket's least class is demanded before a byte is read, in every mode.
func TestMinimumClass(t *testing.T) {
	for _, over := range []transport{plainHTTP, overTLS} {
		v := newVaultOn(t, over, s3api.Config{})
		for _, min := range []recording.Class{recording.ClassA, recording.ClassB, recording.ClassC, recording.ClassD} {
			bucket := "class-" + strings.ToLower(string(min))
			v.Bucket("acme", gateway.BucketSettings{Name: recording.Bucket(bucket), MinClass: min})
			var p pair
			p.key, p.secret = v.Key("acme", gateway.NewKey{Kind: policy.Recorder, Bucket: bucket})
			for mode, gives := range map[string]recording.Class{"hash": recording.ClassB, "UNSIGNED-PAYLOAD": recording.ClassD, "checksum": recording.ClassC} {
				if mode == "checksum" && over == plainHTTP {
					gives = recording.ClassD
				}
				r := v.request(p, "PUT", "/"+bucket+"/"+mode, digits, func(r *http.Request) {
					if mode != "hash" {
						r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
					}
					if mode == "checksum" {
						r.Header.Set("Content-Md5", trueChecksums["Content-MD5"])
					}
				})
				answer, err := v.client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				answer.Body.Close()
				if stored := answer.StatusCode == 200; stored != gives.AtLeast(min) || !stored && answer.StatusCode != 403 {
					t.Errorf("%s: %s in a bucket of class %s: %d", v.scheme, mode, min, answer.StatusCode)
				}
			}
		}
	}
}
