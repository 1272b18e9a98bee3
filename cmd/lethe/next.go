package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/crypto/localkeys"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/blob/filestore"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/eraser"
)

// step is what to do next after an error.
type step struct {
	is func(error) bool
	do string // DIR stands for the directory that --data gave, ERASURE for the one that goes on
}

// steps is the one table from errors to what a user does next. The first row
// that fits counts; what the servers refuse is in refusals.
var steps = []step{
	{a[unfinished], "Should it stay as it is, see that a process with the role eraser runs, and what its log says. Wait for its certificate: lethe certificate ERASURE --wait"},

	{one(errInterrupted, context.Canceled), "Run it again. Of a recording that was on its way, nothing is left half done."},

	{one(gateway.ErrServed), "Stop every lethe that uses this database, lethe serve of all roles and lethe doctor, and run it again."},
	{one(localkeys.ErrLocked, filestore.ErrInUse), "Stop the lethe serve that has this directory, or whatever else of lethe works on it, and run it again."},
	{one(errNothingThere), "Check --data (LETHE_DATA) and the file of settings: a server has run there, and its directory was kept or put back."},
	{one(eraser.ErrDriven), "Stop every server with the role eraser. One that was killed leaves its lease for some seconds."},
	{one(eraser.ErrUnproved), "Keys of overwritten and aborted data stand in no request. Was nothing strange written to the store since the copy was made? Then run it again with --unproved puncture; --unproved leave keeps them."},
	{one(eraser.ErrLost), "Put the store's blobs below erasures, head and pages back, if there is a copy of the bucket. What is lost for good is passed over with --lost: what it named may open again."},
	{one(eraser.ErrNoHead), "This copy of the provider is older than the tenant, or another's. Put a younger copy back and run it again."},

	{one(catalog.ErrNewer), "Run the newer lethe that has run on this catalog. To go back, put back a copy of the catalog from before the update, and run lethe rebuild."},
	{a[foundationError], "Run lethe doctor with the same settings: it tries every part that a server runs on, and says what to do about each."},

	{one(errSpeaksTLS), "Give the address as https://HOST:PORT, and --ca FILE (LETHE_CA) unless this machine trusts its certificate."},
	{one(http.ErrSchemeMismatch), "The server speaks plain HTTP. Give the address as http://HOST:PORT if nobody can listen on the way, or have it serve with --tls-cert and --tls-key."},
	{one(errIsS3), "Give the REST API's address with --addr or LETHE_ADDR: the one the server calls api when it starts, 127.0.0.1:9001 by default."},
	{one(errIsAPI), "Give the S3 front's address with --s3 or LETHE_S3: the one the server calls s3 when it starts, 127.0.0.1:9000 by default."},
	{one(errStranger), "Check the address: the server tells its own when it starts, as s3 and api. A proxy before it may answer too."},

	{a[x509.UnknownAuthorityError], "Give --ca FILE (LETHE_CA): the server's certificate, or that of the authority which signed it."},
	{a[x509.HostnameError], "Use a name in the address that the certificate is for, or have one issued for this name."},
	{a[x509.CertificateInvalidError], "Check this machine's clock; if it is right, the server needs a new certificate."},
	{a[*tls.CertificateVerificationError], "Give --ca FILE (LETHE_CA): the server's certificate, or that of the authority which signed it."},
	{a[tls.RecordHeaderError], "The server speaks no TLS. Give the address as http://HOST:PORT if nobody can listen on the way."},

	{one(errNoServer), "Start it: lethe serve --data DIR"},
	{one(syscall.ECONNREFUSED), "Nothing listens there. Start a server with lethe serve, or check the address and its port."},
	{a[*net.DNSError], "Check the spelling of the host in the address, and that this machine resolves it."},
	{one(syscall.ENETUNREACH, syscall.EHOSTUNREACH), "Check the address, and this machine's network."},
	{timedOut, "Check the address and what stands between: a firewall, a proxy. Then try again."},
	{a[brokenOff], "Nothing is left of it. Get it again; if it keeps breaking off, the server's log says why."},
	{one(io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE), "The connection broke. Run it again; if it keeps breaking, the server's log says why."},

	{one(claim.ErrOtherKey), "Ask whoever signed it for the public key of that id: certificate.pub in a server's data directory. Servers may have had several."},
	{one(claim.ErrCommitment), "Check the salt, all 64 digits of it, and write the scope as it was when the erasure was asked for."},
	{one(claim.ErrKey), "Verifying takes certificate.pub of a server's data directory. For a server, make a key: openssl genpkey -algorithm ed25519 -out FILE"},
	{one(claim.ErrEnvelope, claim.ErrPayloadType, claim.ErrSignatures, claim.ErrSignature, claim.ErrStatement), "Do not rely on it. Get it again from whoever signed it, as a file: mail and editors may have changed it."},

	{one(syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG), "There is no room for it there, and nothing was left behind. Free some, or name a FILE elsewhere."},
	{one(fs.ErrNotExist), "Check the path. A directory must be there before a file can be made in it."},
	{one(fs.ErrPermission), "Run it as the user to whom that belongs, or name another path."},
}

// one fits the errors that have one of these in their chain.
func one(of ...error) func(error) bool {
	return func(err error) bool {
		for _, e := range of {
			if errors.Is(err, e) {
				return true
			}
		}
		return false
	}
}

// a fits the errors that have one of a type in their chain.
func a[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func timedOut(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || ok && timeout.Timeout()
}

// next says what to do after an error; "" if the error says it itself.
func (p *program) next(err error) string {
	if code, _ := refusalOf(err); code != "" {
		return refusals[code]
	}
	for _, s := range steps {
		if s.is(err) {
			return p.here(s, err)
		}
	}
	return ""
}

// here fits a step to the server that --data names. Its addresses are those of
// the server that ran there last.
func (p *program) here(s step, err error) string {
	if u, ok := errors.AsType[unfinished](err); ok {
		return strings.ReplaceAll(s.do, "ERASURE", u.erasure.Erasure) + p.reach()
	}
	if p.data == "" {
		return s.do
	}
	if errors.Is(err, syscall.ECONNREFUSED) && (p.addr == "" || p.s3 == "") {
		return fmt.Sprintf("The server of %[1]s does not run, or was killed and listens elsewhere by now. Start it: lethe serve --data %[1]s", p.data)
	}
	return strings.ReplaceAll(s.do, "DIR", p.data)
}

// refusals is what to do about what the fronts refuse, by their code, beyond
// what the refusal says.
var refusals = map[string]string{
	// of the REST API
	"unauthenticated":   "Give a token with --token or LETHE_TOKEN, or --data DIR of an embedded server, whose owner.token is read.",
	"denied":            "Give the owner token, or the admin token of this very tenant, with --token or LETHE_TOKEN.",
	"no-such-tenant":    "See the tenants there are: lethe tenant list. Make this one: lethe tenant create NAME",
	"no-such-bucket":    "Make it: lethe bucket create --tenant T NAME",
	"no-such-erasure":   "See those there are: lethe erasure list --tenant T",
	"nothing-to-erase":  "See what a reader may: lethe ls BUCKET. See what was erased before: lethe erasure list --tenant T",
	"tenant-exists":     "See the names that are taken: lethe tenant list",
	"no-such-recording": "See the names there are, with a reader's keys: lethe ls BUCKET",
	"bucket-exists":     "Nothing was changed; its settings are those it was made with.",
	"tenant-revoked":    "Permit it again: lethe tenant restore NAME",
	"tenant-erased":     "Make another: lethe tenant create NAME",
	"unavailable":       "Ask /readyz of the server's ops address whether it is ready; its log has the request.",
	"internal":          "Give the request to the server's operator; its log has it.",
	"incident":          "Give the request to the server's operator; its log has it. If Vault, or the directory of keys, was put back from a copy: lethe recover vault --help",
	"no-such-route":     "The server is of another version than this program: compare lethe version on both.",
	"not-implemented":   "See what this version does: README.md, What works.",

	// of the S3 front
	"AccessDenied":              "A recorder only writes; a reader only reads, unless it was made with --write; each in its bucket and under its prefix. Make another: lethe reader create, lethe recorder create. A revoked tenant is restored by lethe tenant restore NAME.",
	"InvalidAccessKeyId":        "Check --access-key (LETHE_ACCESS_KEY), and that --s3 (LETHE_S3) is the vault which made it. Keys of an erased tenant are gone: make others with lethe reader create or lethe recorder create.",
	"SignatureDoesNotMatch":     "Check --secret-key (LETHE_SECRET_KEY): all of it, of the same pair as the access key.",
	"RequestTimeTooSkewed":      "Compare date -u here and on the server, and set the clock that is wrong: timedatectl set-ntp true",
	"NoSuchBucket":              "See the buckets of a reader: lethe ls. Make this one: lethe bucket create --tenant T NAME",
	"NoSuchKey":                 "See the names there are: lethe ls BUCKET[/PREFIX]",
	"PreconditionFailed":        "Choose another --name, or make a bucket with --overwrite version. See what has this one: lethe stat BUCKET/NAME",
	"XAmzContentSHA256Mismatch": "The file was changed while it was sent. Put it again when nobody writes to it.",
	"SlowDown":                  "Try again when fewer transfers run.",
	"ServiceUnavailable":        "Ask /readyz of the server's ops address whether it is ready; its log has the request.",
	"InternalError":             "Give the request to the server's operator; its log has it.",
	"InvalidRange":              "See its size: lethe stat BUCKET/NAME",
	"NoSuchUpload":              "Put it again.",
	"RequestTimeout":            "Put it again.",
}
