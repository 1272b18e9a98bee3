package eraser

import (
	"sync/atomic"
	"time"
)

// Status is what a process knows of the epochs it drives. Counts grow from its start.
type Status struct {
	Epochs       uint64        // committed
	Slots        uint64        // that those punctured
	Certificates uint64        // issued
	Unasked      uint64        // slots with a tombstone that nobody asked for, passed over; each counts in every pass
	Failures     uint64        // passes over a tenant that were broken off
	Revived      uint64        // tenants whose destroyed versions were at the provider again, and were destroyed again
	Oldest       time.Duration // since the oldest erasure was asked for whose keys are not destroyed; 0 if there is none
}

type counts struct {
	epochs, slots, certificates, unasked, failures, revived atomic.Uint64
	oldest                                                  atomic.Int64
}

// Status gives a snapshot. It asks nothing of catalog, store or provider.
func (e *Eraser) Status() Status {
	return Status{
		Epochs: e.counts.epochs.Load(), Slots: e.counts.slots.Load(), Certificates: e.counts.certificates.Load(),
		Unasked: e.counts.unasked.Load(), Failures: e.counts.failures.Load(), Revived: e.counts.revived.Load(), Oldest: time.Duration(e.counts.oldest.Load()),
	}
}
