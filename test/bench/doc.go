// Package bench measures what Lethe costs: the same requests, from the same
// client, through a whole Lethe on Vault, MinIO and PostgreSQL, through an
// embedded one, and straight to the same MinIO, in turn, in several rounds; and
// what erasures cost in vaults of several sizes.
// make bench runs it; docs/performance.md says how to read what it prints.
package bench
