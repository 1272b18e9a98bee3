package claim

// What separates a statement from every other signed with the same key, and a
// commitment from every other hash. Neither is ever changed: a new meaning
// takes a new version.
const (
	PayloadType = "application/vnd.lethe.erasure.v1+json"
	noteType    = "application/vnd.lethe.note.v1+json"

	labelScope = "lethe/v1/scope"
)
