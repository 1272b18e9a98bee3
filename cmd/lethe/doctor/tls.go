package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lethe-vault/lethe/finding"
)

// expiring is how long before its end a certificate should have been replaced.
const expiring = 30 * 24 * time.Hour

// tls looks at the listeners, and at the certificate they show.
func (s Subject) tls(context.Context) (l finding.List) {
	c := s.Config
	if !c.Has("front") {
		return nil
	}
	if c.TLS.Cert == "" {
		open := false
		for _, at := range []string{c.Listen.S3, c.Listen.API} {
			open = open || !loopback(hostOf(at))
		}
		if open {
			l.Warn("tls.listen", "S3 or the REST API is offered to other machines without TLS", "give tls.cert and tls.key; behind a proxy that ends TLS, see that nothing else reaches these ports")
		} else {
			l.OK("tls.listen", "without TLS, S3 and the REST API are offered to this machine alone")
		}
	} else {
		certificate(&l, c.TLS.Cert, c.TLS.Key, c.S3.Domains, time.Now())
	}
	if !loopback(hostOf(c.Listen.Ops)) {
		l.Advise("tls.ops", "the operations address is offered to other machines", "see that only monitoring reaches "+c.Listen.Ops+", or listen on 127.0.0.1")
	}
	return l
}

// certificate looks at a pair of files, for the domains below which buckets are
// hosts.
func certificate(l *finding.List, certFile, keyFile string, domains []string, now time.Time) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		l.Fail("tls.pair", "the certificate cannot be used: "+err.Error(), "see tls.cert and tls.key: PEM, readable by the server, and of the same key")
		return
	}
	l.OK("tls.pair", "certificate and key belong together")
	validity(l, pair.Leaf, now)
	names(l, pair.Leaf, domains)
	chain(l, pair, now)
}

func validity(l *finding.List, leaf *x509.Certificate, now time.Time) {
	const do = "put a new pair into the same files; it is taken up while the server runs"
	left := leaf.NotAfter.Sub(now)
	switch {
	case left <= 0:
		l.Fail("tls.expiry", "the certificate ended on "+day(leaf.NotAfter), do)
	case leaf.NotBefore.After(now):
		l.Fail("tls.expiry", "the certificate does not hold before "+day(leaf.NotBefore), do+"; or see this machine's clock")
	case left < expiring:
		l.Warn("tls.expiry", "the certificate ends on "+day(leaf.NotAfter), do)
	default:
		l.OK("tls.expiry", "the certificate holds until "+day(leaf.NotAfter))
	}
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// names sees that clients which write a bucket into the host believe the
// certificate.
func names(l *finding.List, leaf *x509.Certificate, domains []string) {
	var missing []string
	for _, d := range domains {
		for _, host := range []string{d, "a-bucket." + d} {
			if leaf.VerifyHostname(host) != nil {
				missing = append(missing, strings.Replace(host, "a-bucket.", "*.", 1))
			}
		}
	}
	switch {
	case len(missing) > 0:
		l.Warn("tls.names", "the certificate does not cover "+strings.Join(missing, ", "), "have it issued for these names too, or take the domain out of s3.domains")
	case len(domains) > 0:
		l.OK("tls.names", "the certificate covers every domain of s3.domains, and buckets below")
	case len(leaf.DNSNames)+len(leaf.IPAddresses) == 0:
		l.Warn("tls.names", "the certificate covers no name or address", "have it issued with subject alternative names: clients heed nothing else")
	default:
		l.OK("tls.names", fmt.Sprintf("the certificate covers %d names and addresses", len(leaf.DNSNames)+len(leaf.IPAddresses)))
	}
}

// chain sees whether clients that trust what this machine trusts would believe
// the certificate.
func chain(l *finding.List, pair tls.Certificate, now time.Time) {
	between := x509.NewCertPool()
	for _, der := range pair.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(c)
		}
	}
	_, err := pair.Leaf.Verify(x509.VerifyOptions{Intermediates: between, CurrentTime: now})
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	switch {
	case err == nil:
		l.OK("tls.chain", "the chain leads to an authority that this machine trusts")
	case unknown:
		l.Advise("tls.chain", "the chain leads to no authority that this machine trusts", "add the intermediate certificates to the file; with an authority of your own, see that each client trusts it")
	default:
		if now.Before(pair.Leaf.NotAfter) {
			l.Warn("tls.chain", "the chain does not hold: "+err.Error(), "have the certificate issued anew, and put the intermediate certificates after it")
		}
	}
}
