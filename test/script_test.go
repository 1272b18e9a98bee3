// Package test holds what is true of the whole: the architecture, and the
// promises of docs/design.md as scripts that anyone can read.
package test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/lethe-vault/lethe/test/servers"
	"github.com/lethe-vault/lethe/test/system"
	"github.com/lethe-vault/lethe/test/telephony"
)

// TestPromises runs every script against a whole server, on its embedded
// default and on Vault, MinIO and PostgreSQL. Each script has a server of its own.
func TestPromises(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *system.System{
		"embedded": system.Embedded,
		"scaled": func(t testing.TB) *system.System {
			return system.On(t, servers.SharedVault(t), servers.SharedMinIO(t), servers.SharedPostgreSQL(t))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testscript.Run(t, testscript.Params{
				Dir:                 "testdata",
				RequireExplicitExec: true,
				Setup: func(env *testscript.Env) error {
					return setup(t, env, start(t))
				},
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"calls":    cmdCalls,
					"answer":   cmdAnswer,
					"server":   cmdServer,
					"as":       cmdAs,
					"expiry":   cmdExpiry,
					"aws":      cmdClient(awsClient),
					"minio":    cmdClient(minioClient),
					"blind":    cmdBlind,
					"no-keys":  cmdNoKeys,
					"one-read": cmdOneRead,
					"backup":   cmdBackup,
					"catalog":  cmdCatalog,
					"rebuild":  cmdRebuild,
				},
			})
		})
	}
}

// script is what a running script knows beside its environment.
type script struct {
	t      testing.TB
	system *system.System
	calls  []telephony.Call
}

func setup(t testing.TB, env *testscript.Env, s *system.System) error {
	env.Values["script"] = &script{t: t, system: s}
	env.Setenv("PATH", filepath.Dir(system.Binary(t))+string(filepath.ListSeparator)+env.Getenv("PATH"))
	env.Setenv("LETHE_S3", s.S3)
	env.Setenv("LETHE_ADDR", s.API)
	env.Setenv("LETHE_TOKEN", s.OwnerToken())
	env.Setenv("CERTIFICATE_KEY", filepath.Join(s.Dir, "certificate.pub"))
	return nil
}

func of(ts *testscript.TestScript) *script { return ts.Value("script").(*script) }

// calls makes telephone calls in the directory calls.
func cmdCalls(ts *testscript.TestScript, neg bool, args []string) {
	dir := ts.MkAbs("calls")
	ts.Check(os.MkdirAll(dir, 0o700))
	of(ts).calls = telephony.Calls(of(ts).t, dir)
}

// answer FIELD VAR sets an environment variable from the JSON that the last
// command printed; FIELD may be one of an object's, as erasure.salt.
func cmdAnswer(ts *testscript.TestScript, neg bool, args []string) {
	var answer map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &answer))
	var value any = answer
	for field := range strings.SplitSeq(args[0], ".") {
		object, _ := value.(map[string]any)
		if value = object[field]; value == nil {
			ts.Fatalf("the answer has no %s", args[0])
		}
	}
	ts.Setenv(args[1], fmt.Sprint(value))
}

// as NAME uses the key pair in $NAME_KEY and $NAME_SECRET from here on.
func cmdAs(ts *testscript.TestScript, neg bool, args []string) {
	ts.Setenv("LETHE_ACCESS_KEY", ts.Getenv(args[0]+"_KEY"))
	ts.Setenv("LETHE_SECRET_KEY", ts.Getenv(args[0]+"_SECRET"))
}

// expiry RETENTION VAR sets an environment variable to the date on which the
// recording that lethe stat has just told of expires: the day after the last of its
// days.
func cmdExpiry(ts *testscript.TestScript, neg bool, args []string) {
	var told struct{ Modified time.Time }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &told))
	var days int
	_, err := fmt.Sscanf(args[0], "%dd", &days)
	ts.Check(err)
	ts.Setenv(args[1], told.Modified.UTC().AddDate(0, 0, days+1).Format(time.DateOnly))
}

// server stop|start|kill
func cmdServer(ts *testscript.TestScript, neg bool, args []string) {
	s := of(ts).system
	switch args[0] {
	case "stop":
		s.Stop()
	case "kill":
		s.Kill()
	case "start":
		s.Start()
		ts.Setenv("LETHE_S3", s.S3)
		ts.Setenv("LETHE_ADDR", s.API)
	default:
		ts.Fatalf("server %s?", args[0])
	}
}

// cmdClient is the command of an S3 client that shares no code with Lethe:
//
//	put BUCKET NAME FILE [key=value ...]   with user metadata
//	get BUCKET NAME FILE [FIRST-LAST]      the range, or the whole, equals that of FILE
func cmdClient(connect func(endpoint, accessKey, secretKey string) (s3Client, error)) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		client, err := connect(ts.Getenv("LETHE_S3"), ts.Getenv("LETHE_ACCESS_KEY"), ts.Getenv("LETHE_SECRET_KEY"))
		ts.Check(err)
		bucket, name, file := args[1], args[2], ts.MkAbs(args[3])
		switch args[0] {
		case "put":
			err = client.put(context.Background(), bucket, name, file, metadata(args[4:]))
		case "get":
			err = getAndCompare(context.Background(), client, bucket, name, file, args[4:])
		default:
			ts.Fatalf("client %s?", args[0])
		}
		if neg {
			if err == nil {
				ts.Fatalf("%s succeeded", args[0])
			}
			ts.Logf("refused: %v", err)
			err = nil
		}
		ts.Check(err)
	}
}

func metadata(pairs []string) map[string]string {
	m := map[string]string{}
	for _, p := range pairs {
		k, v, _ := strings.Cut(p, "=")
		m[k] = v
	}
	return m
}

func getAndCompare(ctx context.Context, c s3Client, bucket, name, file string, span []string) error {
	want, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var first, last int64 = 0, int64(len(want)) - 1
	if len(span) == 1 {
		if _, err := fmt.Sscanf(span[0], "%d-%d", &first, &last); err != nil {
			return err
		}
	}
	got, err := c.get(ctx, bucket, name, first, last)
	if err != nil {
		return err
	}
	if string(got) != string(want[first:last+1]) {
		return errors.New("other bytes came back")
	}
	return nil
}

// backup take copies store and catalog, the server being stopped; backup
// restore starts a server on the copy, with the same keys as ever.
func cmdBackup(ts *testscript.TestScript, neg bool, args []string) {
	s := of(ts)
	switch args[0] {
	case "take":
		s.system.Backup()
	case "restore":
		s.system.Restore()
	default:
		ts.Fatalf("backup %s?", args[0])
	}
}

// catalog take copies the catalog alone, the server being stopped; catalog restore
// puts it back, and catalog drop loses the one there is.
func cmdCatalog(ts *testscript.TestScript, neg bool, args []string) {
	s := of(ts)
	switch args[0] {
	case "take":
		s.system.TakeCatalog()
	case "restore":
		s.system.PutBackCatalog()
	case "drop":
		s.system.DropCatalog()
	default:
		ts.Fatalf("catalog %s?", args[0])
	}
}

// rebuild FIELD=VALUE ... runs lethe rebuild, whose report must have these values.
func cmdRebuild(ts *testscript.TestScript, neg bool, args []string) {
	report, err := of(ts).system.Rebuild()
	if neg {
		if err == nil {
			ts.Fatalf("rebuild succeeded")
		}
		ts.Logf("refused: %v", err)
		return
	}
	ts.Check(err)
	ts.Logf("%v", report)
	for _, arg := range args {
		field, want, _ := strings.Cut(arg, "=")
		if got := fmt.Sprint(report[field]); got != want {
			ts.Fatalf("rebuild reports %s %s, want %s: %v", field, got, want, report)
		}
	}
}
