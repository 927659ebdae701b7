package e2e_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/notafter/notafter/e2e/toolbox"
)

// tools are the programs under test.
var tools struct{ tofu, notafter string }

var update = flag.Bool("update", false, "write the plans and verdicts of the scenes to internal/iac/testdata/tofu")

// TestMain builds what is run. OpenTofu takes minutes where it is not in the cache: `make e2e` builds it before.
func TestMain(m *testing.M) {
	flag.Parse()
	code, err := func() (int, error) {
		ctx := context.Background()
		dir, err := os.MkdirTemp("", "notafter-e2e-")
		if err != nil {
			return 0, err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		if tools.tofu, err = toolbox.Tofu(ctx, os.Stderr); err != nil {
			return 0, err
		}
		if tools.notafter, err = toolbox.Notafter(ctx, dir, os.Stderr); err != nil {
			return 0, err
		}
		return m.Run(), nil
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}
