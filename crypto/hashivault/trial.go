package hashivault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/hashicorp/vault/api"
)

// A trial is a request that changes nothing, since its key does not exist, and
// that the policies forbid by its parameters or altogether.
type trial struct {
	path string
	body map[string]any // nil reads
	may  []Role         // to whom it is permitted
}

var trials = []trial{
	{"keys/*/config", body{"exportable": true}, nil},
	{"keys/*/config", body{"allow_plaintext_backup": true}, nil},
	{"keys/*/config", body{"auto_rotate_period": "1h"}, nil},
	{"keys/*/config", body{"deletion_allowed": true}, []Role{Provisioner}},
	{"keys/*/config", body{"deletion_allowed": false}, nil},
	{"keys/*", body{"type": "none", "exportable": true}, nil}, // there is no such type
	{"decrypt/*", body{"batch_input": []any{}}, nil},
	{"rewrap/*", body{"ciphertext": "vault:v1:AAAA"}, nil},
	{"restore/*", body{"backup": "AAAA"}, nil}, // not a backup
	{"export/encryption-key/*", nil, nil},
	{"backup/*", nil, nil},
}

// parameters tries what capabilities do not tell.
func (k *checkup) parameters(ctx context.Context, role Role, client *api.Client) {
	check := "vault." + string(role) + ".limits"
	var may []string
	for _, t := range trials {
		if slices.Contains(t.may, role) {
			continue
		}
		permitted, err := k.try(ctx, client, t)
		if err != nil {
			k.Fail(check, "Vault does not answer: "+said(ctx, err), "see Vault's own log")
			return
		}
		if permitted {
			may = append(may, t.String())
		}
	}
	if len(may) > 0 {
		k.Fail(check, "the "+string(role)+" identity is not held back from "+list(may), ship(role))
		return
	}
	k.OK(check, fmt.Sprintf("%d requests that would make a key leave Vault, or change how it is kept, were refused", len(trials)))
}

// String names what the trial would do.
func (t trial) String() string {
	names := []string{}
	for name := range t.body {
		if name != "type" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.TrimSpace(t.path + " " + strings.Join(names, ","))
}

// try reports whether the policy lets the request through, whatever came of it.
func (k *checkup) try(ctx context.Context, client *api.Client, t trial) (permitted bool, err error) {
	if t.body == nil {
		_, err = client.Logical().ReadWithContext(ctx, k.path(t.path))
	} else {
		_, err = client.Logical().WriteWithContext(ctx, k.path(t.path), t.body)
	}
	if err == nil {
		return true, nil
	}
	if _, answered := errors.AsType[*api.ResponseError](err); !answered {
		return false, err
	}
	status, _ := classify(err)
	switch status {
	case http.StatusForbidden:
		return false, nil
	case http.StatusBadRequest, http.StatusNotFound, http.StatusUnsupportedMediaType:
		return true, nil
	}
	if status >= http.StatusInternalServerError && strings.Contains(strings.ToLower(err.Error()), "backup") {
		return true, nil // it tried to restore what is not a backup
	}
	return false, err
}
