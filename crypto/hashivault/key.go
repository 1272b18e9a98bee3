package hashivault

import (
	"encoding/json"
	"errors"
	"strconv"

	"github.com/hashicorp/vault/api"
)

// keyType is AES-256 in GCM with 96-bit nonces, the approved one of transit's.
const keyType = "aes256-gcm96"

// A key is what Vault says of a transit key; there is nothing secret in it.
type key struct {
	Type          string                     `json:"type"`
	Latest        int                        `json:"latest_version"`
	MinAvailable  int                        `json:"min_available_version"`
	MinDecryption int                        `json:"min_decryption_version"`
	MinEncryption int                        `json:"min_encryption_version"`
	Exportable    bool                       `json:"exportable"`
	Backup        bool                       `json:"allow_plaintext_backup"`
	Derived       bool                       `json:"derived"`
	Imported      bool                       `json:"imported_key"`
	Deletable     bool                       `json:"deletion_allowed"`
	AutoRotate    json.Number                `json:"auto_rotate_period"` // seconds
	Versions      map[string]json.RawMessage `json:"keys"`               // by number; those that can decrypt
}

var errAnswer = errors.New("hashivault: answer does not describe a key")

func (k *key) decode(answer *api.Response) error {
	var envelope struct {
		Data *key `json:"data"`
	}
	if err := answer.DecodeJSON(&envelope); err != nil || envelope.Data == nil || envelope.Data.Latest < 1 {
		return errAnswer
	}
	*k = *envelope.Data
	return nil
}

// safe reports whether k was made as Create makes keys: of our type, born in
// this Vault and bound to stay there.
func (k *key) safe() bool {
	return k.Type == keyType && !k.Exportable && !k.Backup && !k.Derived && !k.Imported
}

// forgot reports whether nothing below the given version is left: not to
// encrypt, not to decrypt, not in the archive.
func (k *key) forgot(below int) bool {
	for v := range k.Versions {
		n, err := strconv.Atoi(v)
		if err != nil || n < below {
			return false
		}
	}
	return len(k.Versions) > 0 && min(k.MinAvailable, k.MinDecryption, k.MinEncryption) >= below
}
