package hashivault

import (
	"embed"
	"strings"
)

// A Role is one of the three identities that Lethe has at Vault, so that no
// process holds more than its work needs.
type Role string

// The roles. Each has its policy under policies/.
const (
	Data        Role = "data"        // decrypts: the fronts
	Eraser      Role = "eraser"      // also encrypts, rotates and trims: the eraser
	Provisioner Role = "provisioner" // creates and deletes keys: tenant management
)

//go:embed policies/*.hcl
var policies embed.FS

// Policy gives the Vault policy of a role for the transit engine mounted at
// mount, in HCL: all that the role needs of Vault and nothing more. The mount
// should be Lethe's alone, for a policy cannot say how a key's name begins
// without also covering what lies below it.
func Policy(role Role, mount string) string {
	text, err := policies.ReadFile("policies/" + string(role) + ".hcl")
	if err != nil {
		panic("hashivault: no policy for role " + string(role)) // roles are constants of this package
	}
	return strings.ReplaceAll(string(text), "{{mount}}", strings.Trim(mount, "/"))
}
