// Command lethe is the whole product in one program: the gateway itself
// (serve), and a client for each of its fronts. The management commands speak
// the REST API; put, get, ls and stat speak S3, so that they prove that front
// as any other client would.
//
// With --json a command prints one JSON object on standard output. The exit
// status is 0 when it is done, 1 when it was refused or failed, and 2 when the
// command itself was misused.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"syscall"

	"github.com/spf13/cobra"
)

// The exit statuses.
const (
	done   = 0
	failed = 1
	misuse = 2
)

// spareHeap is what the collector counts as in use beside what is. A server's own
// heap is so small, 10 MiB or so, that it would be collected after as little was
// allocated, many times a second. Nothing touches these bytes, so they take none of
// the machine's memory; the garbage that may now lie about, as much again, does.
const spareHeap = 32 << 20

func main() {
	spare := make([]byte, spareHeap)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	runtime.KeepAlive(spare)
	os.Exit(status)
}

// run is the program: it takes the arguments after its name and gives the exit
// status. Ending ctx ends what it does, a server in good order.
func run(ctx context.Context, args []string, out, errs io.Writer) int {
	p := &program{in: os.Stdin, out: out, errs: errs}
	root := p.command()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errs)
	c, err := root.ExecuteContextC(ctx)
	if err == nil {
		return done
	}
	p.json = p.json || slices.Contains(args, "--json") // which was not read if a flag before it was wrong
	return p.fail(c, err)
}

// program is one invocation: where it prints, and its global flags.
type program struct {
	in   io.Reader
	out  io.Writer
	errs io.Writer

	json      bool
	quiet     bool   // no meter and no table
	data      string // directory of an embedded server; "" if not given
	addr      string // of the REST API
	token     string
	s3        string // address of the S3 front
	accessKey string
	secretKey string
	ca        string // file of certificates to trust beside the system's
}

// command builds the tree of commands, each in the file of its noun.
func (p *program) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "lethe",
		Short: "A vault for call recordings that can forget",
		Long: `Lethe stores call recordings, each under a key of its own, in front of any S3
store, and forgets them for good when it is told to. This program is the gateway
(serve) and a client of it.

Management commands speak the REST API, at --addr with --token; put, get, ls and
stat speak S3, at --s3 with --access-key and --secret-key. On the machine of an
embedded server, --data DIR finds the addresses and the owner token. An address
without a scheme means plain HTTP on this machine, HTTPS to any other.

With --json a command prints one JSON object on standard output, and one on
standard error if it fails. The exit status is 0 when it is done, 1 when it was
refused, failed or interrupted, and 2 when the command itself was misused.`,
		Example: `  lethe serve
  lethe --data ./lethe-data tenant create acme
  lethe --data ./lethe-data bucket create --tenant acme calls
  lethe --data ./lethe-data recorder create --tenant acme pbx --bucket calls
  lethe --data ./lethe-data put call.wav --bucket calls --name call.wav --access-key … --secret-key …`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	f := root.PersistentFlags()
	f.BoolVar(&p.json, "json", false, "print one JSON object")
	f.StringVar(&p.data, "data", "", "directory of an embedded server on this machine")
	f.StringVar(&p.addr, "addr", "", "address of the REST API (LETHE_ADDR)")
	f.StringVar(&p.token, "token", "", "owner or admin token (LETHE_TOKEN)")
	f.StringVar(&p.ca, "ca", "", "file of certificates to trust beside the system's (LETHE_CA)")
	f.StringVar(&p.s3, "s3", "", "address of the S3 front (LETHE_S3)")
	f.StringVar(&p.accessKey, "access-key", "", "S3 access key (LETHE_ACCESS_KEY)")
	f.StringVar(&p.secretKey, "secret-key", "", "S3 secret key (LETHE_SECRET_KEY)")
	serve := p.serveCommand()
	serve.Example = serveExample
	root.AddCommand(
		serve, p.configCommand(), p.doctorCommand(), p.vaultCommand(), p.tenantCommand(), p.bucketCommand(), p.recorderCommand(), p.readerCommand(),
		p.eraseCommand(), p.erasureCommand(), p.certificateCommand(), p.holdCommand(), p.refileCommand(), p.reindexCommand(),
		p.putCommand(), p.getCommand(), p.lsCommand(), p.statCommand(), p.versionCommand(),
		p.sweepCommand(), p.rebuildCommand(), p.recoverCommand(), p.verifyCommand(), p.manCommand(),
	)
	needSubcommand(root)
	return root
}

const serveExample = `  lethe serve --data ./lethe-data
  lethe serve --tls-cert cert.pem --tls-key key.pem --listen-s3 :9000 --listen-api :9001
  lethe serve --vault https://vault.example:8200 --store-endpoint minio.example:9000 --store-bucket lethe --catalog postgres://db.example/lethe`

// needSubcommand makes a command that only groups others refuse to be run.
func needSubcommand(c *cobra.Command) *cobra.Command {
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return fmt.Errorf("%s has no command %q", c.CommandPath(), args[0])
		}
		return errors.New("say what to do")
	}
	return c
}

// must is for what fails only when this program's own flags are misspelt.
func must(err error) {
	if err != nil {
		panic("lethe: " + err.Error())
	}
}
