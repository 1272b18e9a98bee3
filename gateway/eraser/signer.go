package eraser

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/recording"
)

// ErrOtherSigner: certificates are signed with another key than this process has.
var ErrOtherSigner = errors.New("eraser: certificates are signed with another key than that of this process")

// publishedKey is the blob key of the n-th public key that certificates are signed with.
// The last is in use.
func publishedKey(n int) string { return fmt.Sprintf("signers/%08x", n) }

// signing makes sure, once, that this process signs with the key that is in use, and
// publishes it if there is none, or if it is told that its own comes after that one.
// Otherwise a certificate would be found that another key signed, which nobody here can
// tell from a forged one. ErrOtherSigner.
func (e *Eraser) signing(ctx context.Context) error {
	e.signer.mu.Lock()
	defer e.signer.mu.Unlock()
	if e.signer.own {
		return nil
	}
	own, f := e.Signer.PublicKey(), e.following()
	accepted := map[string]*claim.PublicKey{own.ID(): own}
	var last *claim.PublicKey
	for n := 1; ; n++ {
		pem, err := f.read(ctx, publishedKey(n), maxCertificate)
		if errors.Is(err, fs.ErrNotExist) && last != nil && last.ID() == own.ID() {
			e.signer.own, e.signer.accepted = true, accepted
			return nil
		}
		if errors.Is(err, fs.ErrNotExist) && (last == nil || e.Signer.Follows(last)) {
			pem = own.PEM()
			err = e.Blobs.Create(ctx, publishedKey(n), bytes.NewReader(pem), int64(len(pem)))
			if errors.Is(err, fs.ErrExist) { // another was first
				n--
				continue
			}
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("%w: theirs is %s, this one's %s; give it that key, or, if its own is to be used from now on, name the other in certificates.older-keys",
				ErrOtherSigner, last.ID(), own.ID())
		case err != nil:
			return err
		}
		if last, err = claim.ParsePublicKey(pem); err != nil {
			return fmt.Errorf("%w: %s in the store is no public key: %w", recording.ErrIncident, publishedKey(n), err)
		}
		if e.Signer.Follows(last) {
			accepted[last.ID()] = last
		}
	}
}

// verify reads a certificate that this process, or one with a key that was used before,
// has signed.
func (e *Eraser) verify(signed []byte) (*claim.Erasure, error) {
	e.signer.mu.Lock()
	accepted := e.signer.accepted
	e.signer.mu.Unlock()
	err := claim.ErrOtherKey
	for _, key := range accepted {
		var of *claim.Erasure
		if of, err = key.Verify(signed); !errors.Is(err, claim.ErrOtherKey) {
			return of, err
		}
	}
	return nil, err
}
