package s3api

import (
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/accesslog"
	"github.com/lethe-vault/lethe/gateway/s3api/sigv4"
	"github.com/lethe-vault/lethe/recording"
)

// verified is a request whose sender is known: the Caller and the only reader
// of its body, in whatever mode it was sent. Nothing but authenticate makes one,
// and every operation gets its request from it.
type verified struct {
	target
	caller gateway.Caller
	body   *body
	class  recording.Class // how strongly the body's author is proved
	entry  *accesslog.Entry
}

// about notes which recording the request is about.
func (in verified) about(id recording.ID) { in.entry.Answer.Recording = id }

// authenticate is the one verifier of all operations. It reads no byte of the
// body, so that a client that waits for "100 Continue" is refused before it
// sends one.
func (f *Front) authenticate(op operation, r *http.Request, id string) (verified, error) {
	signed, err := sigv4.Parse(r)
	if err != nil {
		return verified{}, err
	}
	credential, err := f.gateway.Credential(r.Context(), signed.AccessKey)
	if err != nil {
		return verified{}, err
	}
	caller := credential.Caller()
	caller.From, caller.Agent, caller.Request = address(r), r.UserAgent(), id
	if err := signed.Verify(credential.Secret.Reveal(), time.Now()); err != nil {
		return verified{}, f.refuse(r, caller, err)
	}
	if err := f.admitPresigned(r, signed); err != nil {
		return verified{}, err
	}
	body, err := newBody(op.body, r, signed.PayloadHash, signed.Chain(credential.Secret.Reveal()))
	if err != nil {
		return verified{}, err
	}
	return verified{caller: caller, body: body, class: body.class(r.TLS != nil)}, nil
}

// admitPresigned refuses a presigned request that would write, or that holds
// for longer than a URL may lie about.
func (f *Front) admitPresigned(r *http.Request, signed sigv4.Request) error {
	switch {
	case !signed.Presigned():
		return nil
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return errPresignedWrite
	case signed.Expires > f.maxExpires:
		return errExpires
	}
	return nil
}

// refuse logs that someone used an access key without knowing its secret, or
// an old request of someone who does. If that cannot be logged, that is the error.
func (f *Front) refuse(r *http.Request, caller gateway.Caller, err error) error {
	reason := "bad-signature"
	switch {
	case errors.Is(err, sigv4.ErrSkewed):
		reason = "clock-skew"
	case errors.Is(err, sigv4.ErrExpired):
		reason = "expired"
	}
	if logErr := f.gateway.Refused(r.Context(), caller, reason); logErr != nil {
		return logErr
	}
	return err
}

// address gives the peer's address without its port. No header is believed
// about it: no proxy is trusted.
func address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
