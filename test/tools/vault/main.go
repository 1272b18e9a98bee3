// Command vault is HashiCorp Vault's own server, pinned here so that the tests
// can build the real thing on a machine that cannot download it. It is a test
// tool under BUSL-1.1 and is never linked into the product.
package main

import (
	"os"

	"github.com/hashicorp/vault/command"
)

func main() { os.Exit(command.Run(os.Args[1:])) }
