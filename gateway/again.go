package gateway

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"maps"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// putAgain answers a put under a name that is taken, in a bucket that never
// overwrites: the same content again is no change and no error, so a client
// that heard nothing may repeat itself; other content is refused.
func (g *Gateway) putAgain(ctx context.Context, s scope, b bucket, v catalog.Version, u Upload, e audit.Event) (recording.Info, error) {
	e.Recording, e.Version = v.Recording, v.Version
	in, err := g.unsealNamed(ctx, s, b, u.Name, v)
	if err != nil {
		return recording.Info{}, err
	}
	in.dek.Clear()
	s.end()
	same, err := in.sameContent(u)
	if err != nil {
		return recording.Info{}, err
	}
	s, err = g.reenter(ctx, s.tenant.ID)
	if err != nil {
		return recording.Info{}, err
	}
	defer s.end()
	if !same {
		return recording.Info{}, g.refuse(ctx, s, e, "name-taken", recording.ErrExists)
	}
	return in.Info, g.explain(ctx, s, e)
}

// sameContent reads the body to its verified end unless its declared hash or
// size already says that it is another.
func (in unsealed) sameContent(u Upload) (bool, error) {
	stored := in.Info.Digests[sha256Digest] // none of one that came in parts
	if u.Size != in.Info.Size || u.SHA256 != "" && u.SHA256 != stored {
		return false, nil
	}
	if _, err := io.Copy(io.Discard, u.Body); err != nil {
		return false, err
	}
	return stored != "" && u.Body.Digests()[sha256Digest] == stored, nil
}

// lostRace answers an upload whose name was taken while its bytes were on the
// way. They have been read, so that same can compare them with what has the name.
func (g *Gateway) lostRace(ctx context.Context, d *draft, same func(unsealed) bool) (recording.Info, error) {
	s, err := g.reenter(ctx, d.id.Tenant)
	if err != nil {
		return recording.Info{}, err
	}
	defer s.end()
	_, taken, err := g.find(ctx, s, d.bucket.Name, d.facts.Name)
	if err != nil {
		return recording.Info{}, err
	}
	if taken == nil {
		return recording.Info{}, fmt.Errorf("%w: the name was taken and is free again", recording.ErrUnavailable)
	}
	in, err := g.unsealNamed(ctx, s, d.bucket, d.facts.Name, *taken)
	if err != nil {
		return recording.Info{}, err
	}
	defer in.dek.Clear()
	if !same(in) {
		return recording.Info{}, recording.ErrExists
	}
	return in.Info, nil
}

// withMD5 computes the MD5 that a bucket's clients want for an ETag. It
// protects nothing.
func withMD5(b Body) (io.Reader, func() recording.Digests) {
	sum := md5.New()
	return io.TeeReader(b, sum), func() recording.Digests { return addMD5(b.Digests(), sum) }
}

func addMD5(d recording.Digests, sum hash.Hash) recording.Digests {
	d = maps.Clone(d)
	d[md5Digest] = hex.EncodeToString(sum.Sum(nil))
	return d
}
