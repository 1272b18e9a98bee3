package eraser

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// since is what was punctured, or asked to be, since a head.
type since struct {
	proved   map[keytree.Slot]bool // by a record, a tombstone or a certificate
	unproved map[keytree.Slot]bool // that a pack names, or a tombstone, and nothing else
	records  int
	lost     int
}

// forgotten gathers what must stay forgotten when the tree goes on from a head:
//
//   - what the sealed requests in the store name. Nobody can make one who does not
//     have the tenant's keys; all are read, as a slot may be punctured long after it
//     was asked for;
//   - what has a tombstone in the catalog, if an epoch would puncture it too;
//   - what the packs of later epochs name, scraps above all. Their heads open no more,
//     so nothing binds them: a pack is believed if a certificate names it.
func (e *Eraser) forgotten(ctx context.Context, c chain) (s since, err error) {
	s = since{proved: map[keytree.Slot]bool{}, unproved: map[keytree.Slot]bool{}, lost: c.lost}
	keys, err := keytree.Unwrap(ctx, e.Keys, e.Pages, c.opens)
	if err != nil {
		return s, err
	}
	defer keys.Clear()
	if err := e.recorded(ctx, c.opens.Tenant, keys, &s); err != nil {
		return s, err
	}
	if err := e.buried(ctx, c.opens, keys, &s); err != nil {
		return s, err
	}
	return s, e.packed(ctx, c.closed, &s)
}

// buried adds what has a tombstone.
func (e *Eraser) buried(ctx context.Context, opens keytree.Head, keys *keytree.Keys, s *since) error {
	rows, err := e.Catalog.PuncturedSince(ctx, opens.Tenant, int64(opens.Epoch))
	if err != nil {
		return err
	}
	due, err := e.asked(ctx, opens.Tenant, keys, rows)
	for _, slot := range due.slots {
		s.prove(slot)
	}
	for _, slot := range due.unasked {
		if slot.MayGo() == nil && !s.proved[slot] {
			s.unproved[slot] = true
		}
	}
	return err
}

// prove adds a slot, unless it is one that is never punctured.
func (s *since) prove(slot keytree.Slot) {
	if slot.MayGo() == nil {
		s.proved[slot] = true
		delete(s.unproved, slot)
	}
}

// recorded adds what the sealed requests of a tenant name.
func (e *Eraser) recorded(ctx context.Context, t recording.Tenant, keys *keytree.Keys, s *since) error {
	settings, err := keys.System(ctx, keytree.SettingsSlot())
	if err != nil {
		return err
	}
	defer settings.Clear()
	for info, err := range e.Blobs.List(ctx, fmt.Sprintf("%s%v/", recordsBase, t)) {
		if err != nil {
			return err
		}
		at, ok := parseRecordKey(t, info.Key)
		if !ok {
			continue
		}
		sealed, err := e.following().read(ctx, info.Key, maxRecord)
		if err != nil {
			return err
		}
		stated, err := OpenRecord(settings, t, at.base, at.id, sealed)
		if err != nil {
			s.lost++
			continue
		}
		s.records++
		for _, slot := range stated.Slots {
			s.prove(slotOf(catalog.Slot(slot)))
		}
	}
	return nil
}

// packed adds what the packs of heads name.
func (e *Eraser) packed(ctx context.Context, heads []keytree.Head, s *since) error {
	by := map[keytree.Slot]string{} // pack
	for _, h := range heads {
		if h.Kind != keytree.HeadPunctured {
			s.lost++ // only epoch 0 is a seed
			continue
		}
		pack, err := keytree.ReadPack(ctx, e.Blobs, h)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, keytree.ErrPack) {
			s.lost++
			continue
		}
		if err != nil {
			return err
		}
		for _, slot := range pack.Slots {
			if slot.MayGo() == nil && !s.proved[slot] {
				s.unproved[slot] = true
				by[slot] = hex.EncodeToString(h.PackSum[:])
			}
		}
	}
	if len(by) == 0 {
		return nil
	}
	certified, err := e.certifiedPacks(ctx, heads[0].Tenant)
	if err != nil {
		return err
	}
	for slot, pack := range by {
		if certified[pack] {
			s.prove(slot)
		}
	}
	return nil
}

// certifiedPacks gives the SHA-256 of the packs that a tenant's certificates name.
// Those that a key has signed which is not ours say nothing.
func (e *Eraser) certifiedPacks(ctx context.Context, t recording.Tenant) (map[string]bool, error) {
	ours, _, _, err := e.published(ctx)
	if err != nil {
		return nil, err
	}
	packs := map[string]bool{}
	for info, err := range e.Blobs.List(ctx, fmt.Sprintf("certificates/%v/", t)) {
		if err != nil {
			return nil, err
		}
		signed, err := e.following().read(ctx, info.Key, maxCertificate)
		if err != nil {
			return nil, err
		}
		of, err := ours.verify(signed)
		if err != nil || of.Tenant != t.String() {
			continue
		}
		for _, epoch := range of.Epochs {
			packs[epoch.Pack] = true
		}
	}
	return packs, nil
}
