package claim

// The words that are the same in every certificate. What they stand on is in
// docs/keys.md and docs/envelope.md.
const (
	methodName   = "purge: cryptographic erase"
	methodSource = "NIST SP 800-88r2"
)

// method is how Lethe erases, and how the certificate is signed.
func method(signature string) Method {
	return Method{methodName, methodSource, []Algorithm{
		{"recordings, and what is known of them", "AES-256-GCM", 256},
		{"keys of recordings, and pages of the key tree", "AES-256-GCM", 256},
		{"the root of the key tree, at the key provider", "AES-256-GCM", 256},
		{"derivation of keys", "HKDF-SHA-256 and HKDF-SHA-384", 256},
		{"signature of this certificate", signature, 128},
	}}
}

// titles say what was erased.
var titles = map[Kind]string{
	OfRecording: "One recording, with all of its versions.",
	OfVersion:   "One version of a recording.",
	OfSubject:   "All recordings of one data subject.",
	OfDay:       "All recordings of one retention class that expired on one day.",
	OfTenant:    "All recordings of one tenant.",
}

// withTenant says how an erasure ended that had no certificate when its tenant was erased.
const withTenant = "It ended with the tenant itself, which was erased before this certificate could be issued: the tenant's key is destroyed, and with it every key of every recording that the tenant had."

// sentences say what was verified.
var sentences = map[Performed]string{
	HeadInStore:    "The new state of the key tree was read back from the store, and its root unwrapped.",
	HeadInCatalog:  "The new state of the key tree was read back from the catalog, and its root unwrapped.",
	OldestVersion:  "The key provider was asked for the oldest version of the key that it still has.",
	OldRootRefused: "The old root was given to the key provider once more, which refused to unwrap it.",
	KeyAbsent:      "The key provider was asked for the key, and does not have it.",
	LeasesDrained:  "No process holds the old root in memory any more: each lease on it has ended.",
}

// unknowns say why there is no date of completion.
var unknowns = map[Unknown]string{
	RetentionNotTold: "not stated: how long snapshots of Vault are kept was not told",
	CopiesNotTold:    "not stated: whether copies of the local keys were made is not known",
}

// risks are what remains, and what no certificate can prove.
func risks(e *Erasure) []string {
	all := []string{
		"Old copies of the store and the database still show how large the erased recordings were, when they were made, and which of them were filed together.",
	}
	if e.Provider.Kind == Vault {
		all = append(all, "A snapshot of Vault from before the erasure, with the keys that unseal it, still holds the destroyed version of the key, for as long as the snapshot is kept.")
	} else {
		all = append(all, "A copy of the directory of local keys from before the erasure still holds the destroyed version of the key, and the disk may keep overwritten bytes.")
	}
	if e.Dates.Unlinkable.IsZero() {
		all = append(all, "Whoever has this tenant's current keys and an old copy of the database can still test whether a certain name or number was in it, until the date unlinkable.")
	}
	if e.Counts.Refiled > 0 {
		all = append(all, "Versions under a hold or a longer retention were kept, and can be read.")
	}
	return append(all,
		"What was played, exported or copied in clear before the erasure is not reached by it, nor is a key that was copied from a process's memory.",
		"That the key provider refuses an old version shows that it refuses, not that no copy exists. Absence cannot be proved: this certificate is the statement of whoever signed it, with parts that can be checked.",
	)
}
