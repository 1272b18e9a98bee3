package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// pressTab has a real bash complete a line that was typed so far.
const pressTab = `
. /usr/share/bash-completion/bash_completion
. <(lethe completion bash)
COMP_LINE=$1
read -ra COMP_WORDS <<<"$COMP_LINE"
[[ $COMP_LINE != *' ' ]] || COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
COMP_POINT=${#COMP_LINE} COMP_TYPE=9 COMP_KEY=9
__start_lethe 2>/dev/null # compopt works only where a line is edited
printf '%s\n' "${COMPREPLY[@]}"
`

// tab gives the words that bash offers.
func tab(t *testing.T, line string) []string {
	t.Helper()
	bin := t.TempDir()
	self, err := filepath.Abs(os.Args[0])
	if err == nil {
		err = os.Symlink(self, filepath.Join(bin, "lethe"))
	}
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("bash", "-c", pressTab, "bash", line)
	c.Env = append(os.Environ(), beLethe+"=1", "PATH="+bin+":"+os.Getenv("PATH"))
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("bash: %v: %s", err, out)
	}
	var words []string
	for _, w := range strings.Split(string(out), "\n") {
		if w = strings.TrimSpace(w); w != "" {
			words = append(words, w)
		}
	}
	return words
}

func TestBashCompletes(t *testing.T) {
	t.Parallel()
	s := startServer(t, filepath.Join(t.TempDir(), "data"))
	for _, tenant := range []string{"acme", "acme-2", "beta", "a $(touch x)"} {
		answers[any](t, "tenant", "create", tenant, "--data", s.dir)
	}
	answers[any](t, "bucket", "create", "calls", "--tenant", "acme", "--data", s.dir)
	r := answers[map[string]string](t, "reader", "create", "r", "--tenant", "acme", "--bucket", "*", "--data", s.dir)
	data := " --data " + s.dir + " "
	keys := fmt.Sprintf("%s--access-key %s --secret-key=%s ", data, r["access_key"], r["secret_key"])
	for line, want := range map[string][]string{
		"lethe ten":                                                {"tenant"},
		"lethe tenant r":                                           {"restore", "revoke"},
		"lethe bucket create --overwrite v":                        {"version"},
		"lethe" + data + "tenant revoke ac":                        {"acme", "acme-2"},
		"lethe" + data + "tenant revoke ":                          {"acme", "acme-2", "beta"}, // not the one that a shell would run
		"lethe" + data + "tenant revoke acme a":                    nil,
		"lethe" + data + "recorder create --tenant b":              {"beta"},
		"lethe" + keys + "ls ":                                     {"calls"},
		"lethe" + keys + "get c":                                   {"calls/"},
		"lethe" + keys + "get calls/":                              {"calls/"}, // names of recordings are no words to offer
		"lethe tenant revoke ":                                     nil,
		"lethe --s3 127.0.0.1:1 --access-key a --secret-key s ls ": nil,
		"lethe --addr 127.0.0.1:1 --token t tenant revoke ":        nil,
	} {
		start := time.Now()
		got := tab(t, line)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%q completes to %q, want %q", line, got, want)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%q took %v", line, took)
		}
	}
}

// Cobra's scripts for other shells are there too.
func TestCompletionScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if out := printed(t, "completion", shell); !strings.Contains(out, "__complete") {
			t.Errorf("completion %s printed %.100q", shell, out)
		}
	}
}
