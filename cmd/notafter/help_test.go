package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestEveryCommandHasHelpWithExamples(t *testing.T) {
	var out, errs bytes.Buffer
	commands := 0
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Name() == "help" || c.Name() == "completion" || c.HasParent() && c.Parent().Name() == "completion" {
			return // cobra's own
		}
		if c.Hidden {
			return // not meant for people
		}
		commands++
		out.Reset()
		args := append(strings.Fields(c.CommandPath())[1:], "--help")
		if code := testProgram(&out, &errs).run(t.Context(), args); code != exitUpheld {
			t.Errorf("%v gives status %d: %s", args, code, errs.String())
		}
		for _, want := range []string{c.Short, "Usage:", "Examples:", "  notafter "} {
			if c.Long != "" && want == c.Short {
				want = strings.SplitN(c.Long, "\n", 2)[0]
			}
			if !strings.Contains(out.String(), want) {
				t.Errorf("the help of %s lacks %q:\n%s", c.CommandPath(), want, out.String())
			}
		}
		for line := range strings.SplitSeq(c.Example, "\n") {
			if strings.Contains(line, "\t") || line != "" && !strings.HasPrefix(line, "  ") {
				t.Errorf("an example of %s is not indented by two spaces: %q", c.CommandPath(), line)
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(testProgram(&out, &errs).root())
	if commands < 9 {
		t.Errorf("only %d commands were found", commands)
	}
	out.Reset()
	if code := testProgram(&out, &errs).run(t.Context(), []string{"completion", "bash"}); code != exitUpheld || !strings.Contains(out.String(), "notafter") {
		t.Errorf("completion gives status %d", code)
	}
	out.Reset()
	if code := testProgram(&out, &errs).run(t.Context(), []string{"--version"}); code != exitUpheld || !strings.HasPrefix(out.String(), "notafter ") {
		t.Errorf("--version gives status %d and %q", code, out.String())
	}
}

// A shell offers the values of a flag that takes few, and no files where none is meant.
func TestCompletionOffersWhatIsPossible(t *testing.T) {
	const noFiles = ":4" // what cobra's scripts read of ShellCompDirectiveNoFileComp
	for line, want := range map[string]string{
		"check --output ":        "table json jsonl junit " + noFiles,
		"check --revocation ":    "off leaf full " + noFiles,
		"check ":                 noFiles,
		"guard --output ":        "text json sarif markdown " + noFiles,
		"guard ":                 "json :8", // files that end so (ShellCompDirectiveFilterFileExt)
		"serve --log-format ":    "text json " + noFiles,
		"serve --log-level ":     "debug info warn error " + noFiles,
		"serve ":                 noFiles,
		"incidents --output ":    "table json " + noFiles,
		"incidents ":             noFiles,
		"ack ":                   noFiles,
		"config check --output ": "table json " + noFiles,
		"config check ":          ":0", // a file is what it takes
	} {
		var out, errs bytes.Buffer
		args := append([]string{cobra.ShellCompRequestCmd}, strings.Split(line, " ")...)
		if code := testProgram(&out, &errs).run(t.Context(), args); code != exitUpheld {
			t.Errorf("%s gives status %d: %s", line, code, errs.String())
		}
		if got := strings.Join(strings.Fields(out.String()), " "); got != want {
			t.Errorf("after %q a shell is offered %q, want %q", line, got, want)
		}
	}
}
