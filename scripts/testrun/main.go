// Command testrun runs `go test` with the given arguments and keeps what it says readable: the result line of each
// package as it ends, everything that a failed test wrote, and nothing of tests that passed. What was skipped is listed
// at the end, loudly; with CI=true in the environment a skipped test is a failed run.
//
// The exit status is that of `go test`, or 1 when tests were skipped that may not be.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

func main() {
	os.Exit(run(os.Args[1:], os.Getenv("CI") == "true", os.Stdout, os.Stderr))
}

func run(args []string, ci bool, stdout, stderr io.Writer) int {
	say := func(format string, a ...any) { _, _ = fmt.Fprintf(stderr, "testrun: "+format+"\n", a...) }
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		say("open a pipe to go test: %v", err)
		return 1
	}
	if err := cmd.Start(); err != nil {
		say("start go test: %v", err)
		return 1
	}
	r := newReport(stdout)
	readErr := r.read(pipe)
	if readErr != nil {
		// Whoever does not read on leaves go test waiting for ever.
		_, _ = io.Copy(io.Discard, pipe)
	}
	err = cmd.Wait()
	code := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code = max(1, exit.ExitCode())
	case err != nil:
		say("run go test: %v", err)
		code = 1
	}
	if readErr != nil {
		say("read what go test says: %v", readErr)
		code = max(1, code)
	}
	if r.passed == 0 && code == 0 {
		say("not one test was run")
		code = 1
	}
	if !r.skips(ci) {
		code = max(1, code)
	}
	return code
}
