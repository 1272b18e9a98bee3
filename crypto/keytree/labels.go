package keytree

// Every label that separates one use of a secret from another. A label is
// never changed: a new meaning takes a new version.
const (
	labelRoot  = "lethe/v1/root"  // bind of a wrapped root
	labelTree  = "lethe/v1/tree"  // root secret → secret of a tree
	labelChild = "lethe/v1/child" // secret of a node → secret of its child
	labelTop   = "lethe/v1/top"   // AAD of the top page, which a head holds
	labelPage  = "lethe/v1/page"  // AAD of the page of a node
	labelKEK   = "lethe/v1/kek"   // slot keys → key-encryption key
	labelDEK   = "lethe/v1/dek"   // AAD of a wrapped data key
)

// Labels of what is sealed under a key of the system tree; see Seal.
const (
	LabelJournal    = "lethe/v1/journal"
	LabelBucket     = "lethe/v1/bucket"
	LabelCredential = "lethe/v1/credential"
	LabelToken      = "lethe/v1/token"
	LabelAudit      = "lethe/v1/audit"
	LabelPage       = "lethe/v1/list-token"
	LabelErasure    = "lethe/v1/erasure"
	LabelSuperseded = "lethe/v1/superseded"
	LabelHold       = "lethe/v1/hold" // under a key of the recordings tree
)
