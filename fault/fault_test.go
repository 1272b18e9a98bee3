package fault_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/fault"
)

// A panic is told of without what was at hand.
func TestContain(t *testing.T) {
	for name, c := range map[string]struct {
		do   func() error
		says string
	}{
		"text":        {func() error { panic("+49123456789") }, "of a string"},
		"error":       {func() error { panic(errors.New("+49123456789")) }, "of a *errors.errorString"},
		"the runtime": {func() error { set(nil); return nil }, "nil map"},
	} {
		err := fault.Contain(c.do)
		p, ok := errors.AsType[*fault.Panic](err)
		if !ok || !errors.Is(err, fault.ErrPanic) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error()+string(p.Stack), "+49") {
			t.Errorf("%s: Contain = %v", name, err)
		} else if !strings.Contains(string(p.Stack), "TestContain") {
			t.Errorf("%s: stack %s", name, p.Stack)
		}
	}
	want := errors.New("no panic")
	if err := fault.Contain(func() error { return want }); err != want {
		t.Errorf("Contain = %v", err)
	}
	defer func() {
		if recover() != http.ErrAbortHandler {
			t.Error("the order to cut the connection was kept back")
		}
	}()
	_ = fault.Contain(func() error { panic(http.ErrAbortHandler) })
}

// set is a fault of the program when m is nil.
func set(m map[string]int) { m["x"] = 1 }
