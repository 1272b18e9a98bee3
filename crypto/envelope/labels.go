package envelope

// Every domain-separation label of the envelope. A label is never given a
// second meaning: a change of what it covers takes the next version.
const (
	labelStream   = "lethe/v1/stream"    // DEK -> FLOE key of one part
	labelFacts    = "lethe/v1/facts"     // DEK -> key of the sealed facts; and their AAD
	labelEndFacts = "lethe/v1/end-facts" // DEK -> key of the catalog's layout; and its AAD
	labelParts    = "lethe/v1/parts"     // DEK -> key of the catalog's list of parts; and its AAD

	// FLOE's own purposes; C2SP FLOE, "KDF".
	floeHeaderTag  = "HEADER_TAG:"
	floeMessageKey = "MESSAGE_KEY:"
	floeSegmentKey = "DEK:"
)
