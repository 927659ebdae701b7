package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// pseudoTerminal opens both sides of a terminal of 80 columns.
func pseudoTerminal(t *testing.T) (master, tty *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatalf("no pseudo-terminal: %v", err)
	}
	t.Cleanup(func() { _ = master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 80}); err != nil {
		t.Fatal(err)
	}
	return master, tty
}

// onTerminal runs the program with standard output and error on a pseudo-terminal of 80 columns and returns all that
// was drawn on it.
func onTerminal(t *testing.T, env map[string]string, look looker, args ...string) string {
	t.Helper()
	master, tty := pseudoTerminal(t)
	drawn := make(chan string)
	go func() {
		b, _ := io.ReadAll(master) // ends with an error of input and output once the other side is closed
		drawn <- string(b)
	}()
	p := testProgram(nil, nil)
	p.stdout, p.stderr = tty, tty
	p.env = func(k string) string { return env[k] }
	p.newLooker = func(lookOptions) (looker, error) { return look, nil }
	p.run(t.Context(), args)
	if err := tty.Close(); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(<-drawn, "\r\n", "\n")
}

func TestTerminalGetsATableInColour(t *testing.T) {
	out := onTerminal(t, nil, testWorld(), "check", "good.example", "expired.example", "half.example")
	for _, want := range []string{
		"\x1b[31m✗ broken\x1b[0m   none      expired.example  already\n",
		"\x1b[33m? unknown\x1b[0m  80d       half.example ",
		"\x1b[32m✓ upheld\x1b[0m   80d       good.example ",
		"  \x1b[31mOUTAGE expired\x1b[0m\n",
		"3 endpoints at 5 addresses: 1 broken, 1 unknown, 1 upheld, in 0s.\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the terminal does not show %q:\n%q", want, out)
		}
	}
	escapes := regexp.MustCompile("\x1b\\[[0-9;]*[mK]")
	for line := range strings.SplitSeq(escapes.ReplaceAllString(out, ""), "\n") {
		if cells(line) > 80 {
			t.Errorf("a line is wider than the terminal: %q", line)
		}
	}
}

func TestColourIsLeftOutWhereItIsNotWanted(t *testing.T) {
	for name, env := range map[string]map[string]string{"NO_COLOR": {"NO_COLOR": "1"}, "a dumb terminal": {"TERM": "dumb"}} {
		out := onTerminal(t, env, testWorld(), "check", "expired.example")
		if !strings.Contains(out, "✗ broken   none      expired.example") || strings.Contains(out, "\x1b") {
			t.Errorf("%s: %q", name, out)
		}
	}
	if out := onTerminal(t, map[string]string{"NO_COLOR": ""}, testWorld(), "check", "expired.example"); !strings.Contains(out, "\x1b[31m") {
		t.Errorf("an empty NO_COLOR counts as set: %q", out)
	}
}

func TestLongListsShowProgress(t *testing.T) {
	args := []string{"check"}
	for i := range 12 {
		args = append(args, fmt.Sprintf("expired.example:%d", 1000+i))
	}
	out := onTerminal(t, nil, testWorld(), args...)
	bar := strings.Index(out, "[........................] 0/12")
	gone := strings.LastIndex(out, "\r\x1b[K")
	table := strings.Index(out, "VERDICT")
	if bar < 0 || gone < bar || table < gone {
		t.Errorf("the bar is at %d, taken away at %d, the table begins at %d: %q", bar, gone, table, out)
	}
	if out := onTerminal(t, nil, testWorld(), args[:5]...); strings.Contains(out, "0/") {
		t.Errorf("a short list shows a bar: %q", out)
	}
	if out := onTerminal(t, nil, testWorld(), append(args, "-o", "jsonl")...); strings.Contains(out, "\x1b[K") {
		t.Errorf("a bar is drawn between lines of JSON: %q", out)
	}
}

// Whoever types the command without a plan is told what it waits for; a plan that is refused stands out.
func TestGuardOnATerminal(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("plan.json", []byte(lostPlan), 0o600); err != nil {
		t.Fatal(err)
	}
	out := onTerminal(t, nil, nil, "guard", "plan.json")
	if !strings.HasPrefix(out, "\x1b[1;31mLOST\x1b[0m  \x1b[1mRenewal stops: ") {
		t.Errorf("shown: %q", out)
	}
	if out := onTerminal(t, map[string]string{"NO_COLOR": "1"}, nil, "guard", "plan.json"); strings.Contains(out, "\x1b") {
		t.Errorf("colour that is not wanted: %q", out)
	}

	master, tty := pseudoTerminal(t)
	if _, err := master.WriteString("\x04"); err != nil { // the end of what is typed (termios(3), VEOF)
		t.Fatal(err)
	}
	var shown, errs bytes.Buffer
	p := testProgram(&shown, &errs)
	p.stdin = tty
	if code := p.run(t.Context(), []string{"guard", "-"}); code != exitUsage || !strings.HasPrefix(errs.String(), "notafter: waiting for a plan on standard input. What is meant: terraform show -json plan.tfplan | notafter guard -\n") {
		t.Errorf("status %d, said %q", code, errs.String())
	}
	if err := tty.Close(); err != nil {
		t.Fatal(err)
	}
}
