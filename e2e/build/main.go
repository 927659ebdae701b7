//go:build unix

// Command build builds what the end-to-end tests run, before they do: a test that builds for minutes looks like one that
// hangs. It prints where it is.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/notafter/notafter/e2e/toolbox"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	tofu, err := toolbox.Tofu(ctx, os.Stderr)
	if err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "e2e: %v\n", err)
		return 1
	}
	_, _ = fmt.Println(tofu)
	return 0
}
