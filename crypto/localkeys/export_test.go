package localkeys

import (
	"slices"

	"github.com/lethe-vault/lethe/crypto/keytree"
)

// Sign adds the digest that makes b a file of root.
func Sign(root keytree.Root, b []byte) []byte {
	return append(slices.Clone(b), digest(root, b)...)
}

// Reparse reads a file and writes it again.
func Reparse(root keytree.Root, b []byte) ([]byte, error) {
	f, err := parse(root, b)
	if err != nil {
		return nil, err
	}
	return f.marshal(root), nil
}
