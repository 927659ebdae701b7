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
