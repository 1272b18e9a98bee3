package eraser

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/lethe-vault/lethe/crypto/claim"
)

// ErrOtherSigner: certificates are signed with another key than this process has.
var ErrOtherSigner = errors.New("eraser: certificates are signed with another key than that of this process")

// publishedKey is the blob key of the n-th public key that certificates are signed with.
// The last is in use.
func publishedKey(n int) string { return fmt.Sprintf("signers/%08x", n) }

// keys are those whose certificates are ours, by their ids.
type keys map[string]*claim.PublicKey

// verify reads a certificate that one of the keys has signed.
func (k keys) verify(signed []byte) (*claim.Erasure, error) {
	err := claim.ErrOtherKey
	for _, key := range k {
		var of *claim.Erasure
		if of, err = key.Verify(signed); !errors.Is(err, claim.ErrOtherKey) {
			return of, err
		}
	}
	return nil, err
}

// note reads what a process has left that had one of the keys.
func (k keys) note(signed []byte) ([]byte, error) {
	err := claim.ErrOtherKey
	for _, key := range k {
		var body []byte
		if body, err = key.Note(signed); !errors.Is(err, claim.ErrOtherKey) {
			return body, err
		}
	}
	return nil, err
}

// published reads the published keys: this process's own, and those that it was told
// were used before, are ours. It gives the last of all too, nil if there is none, and the
// number of the next.
func (e *Eraser) published(ctx context.Context) (ours keys, last *claim.PublicKey, next int, err error) {
	own := e.Signer.PublicKey()
	ours = keys{own.ID(): own}
	for next = 1; ; next++ {
		pem, err := e.following().read(ctx, publishedKey(next), maxCertificate)
		if errors.Is(err, fs.ErrNotExist) {
			return ours, last, next, nil
		}
		if err != nil {
			return nil, nil, 0, err
		}
		key, err := claim.ParsePublicKey(pem)
		if err != nil { // whoever put it there could keep all from signing, and from a recovery
			e.Logger.Error("what the store has in the place of a public key of certificates is none, and passed over", "blob", publishedKey(next), "error", err)
			continue
		}
		if last = key; e.Signer.Follows(last) {
			ours[last.ID()] = last
		}
	}
}

// otherSigner says what to do about certificates that are signed with a key of another's.
func (e *Eraser) otherSigner(last *claim.PublicKey) error {
	return fmt.Errorf("%w: theirs is %s, this one's %s; give it that key, or, if its own is to be used from now on, name the other in certificates.older-keys; "+
		"if you never had a key of that id, it was forged: name it nowhere, and delete the last blob below signers/",
		ErrOtherSigner, last.ID(), e.Signer.PublicKey().ID())
}

// signing makes sure, once, that this process signs with the key that is in use, and
// gives those whose certificates are ours. It publishes its own if there is none, or if
// it is told that its own follows. Otherwise a certificate would be found that another
// key signed, which nobody here can tell from a forged one. ErrOtherSigner.
func (e *Eraser) signing(ctx context.Context) (keys, error) {
	e.signer.mu.Lock()
	defer e.signer.mu.Unlock()
	own := e.Signer.PublicKey()
	for e.signer.ours == nil {
		ours, last, next, err := e.published(ctx)
		switch {
		case err != nil:
			return nil, err
		case last != nil && last.ID() == own.ID():
			e.signer.ours = ours
			continue
		case last != nil && !e.Signer.Follows(last):
			return nil, e.otherSigner(last)
		}
		pem := own.PEM()
		err = e.Blobs.Create(ctx, publishedKey(next), bytes.NewReader(pem), int64(len(pem)))
		if err != nil && !errors.Is(err, fs.ErrExist) { // another may be first
			return nil, err
		}
	}
	return e.signer.ours, nil
}
