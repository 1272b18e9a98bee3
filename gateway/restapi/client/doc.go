// Package client speaks Lethe's management API from Go. It is generated from
// openapi.yaml, whose text says what each call does and which problems it may
// answer with. A Client sends what its RequestEditorFn adds: without one that
// sets the bearer token, every call is refused.
package client
