// Package clients runs S3 clients against a whole Lethe: the programs and
// SDKs that recorders and their operators use, unmodified and on their
// defaults. Each adapter tells its client where the server is and as whom to
// speak, and nothing else; docs/clients.md says the same to a person.
package clients
