package restapi_test

import (
	"testing"

	"github.com/lethe-vault/lethe/gateway/restapi/client"
)

// What is to change is one thing, of a recording that is there. What it does is
// gateway's.
func TestRefilings(t *testing.T) {
	f := newFront(t)
	admin := f.as(t, f.admin(t, "acme"))
	of := client.RefiledRecording{Bucket: "calls", Name: "a"}
	for _, wrong := range []struct {
		what client.NewRefiling
		code string
	}{
		{client.NewRefiling{Recording: of}, "bad-request"},
		{client.NewRefiling{Recording: of, RetainUntil: "2140-12-31", Subjects: []string{"1"}}, "bad-request"},
		{client.NewRefiling{Recording: of, RetainUntil: "31.12.2140"}, "bad-request"},
		{client.NewRefiling{Recording: of, RetainUntil: "2149-01-01"}, "bad-request"},
		{client.NewRefiling{Recording: of, Subjects: []string{" "}}, "bad-request"},
		{client.NewRefiling{Recording: client.RefiledRecording{Bucket: "no", Name: "a"}, RetainUntil: "2140-12-31"}, "bad-bucket-name"},
		{client.NewRefiling{Recording: client.RefiledRecording{Bucket: "calls", Name: "a", Version: "x"}, RetainUntil: "2140-12-31"}, "bad-version"},
		{client.NewRefiling{Recording: of, Subjects: []string{"1"}}, "no-such-bucket"},
	} {
		res, err := admin.CreateRefilingWithResponse(t.Context(), "acme", wrong.what)
		if err != nil || res.ApplicationproblemJSONDefault == nil || res.ApplicationproblemJSONDefault.Code != wrong.code {
			t.Errorf("CreateRefiling(%+v) = %s %s, %v; want %s", wrong.what, res.Status(), res.Body, err, wrong.code)
		}
	}
}
