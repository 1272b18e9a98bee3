// Command build builds the servers the tests need, so that no test waits for
// a compiler: go run ./test/servers/build.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/lethe-vault/lethe/test/servers"
)

func main() {
	if err := servers.Build(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
