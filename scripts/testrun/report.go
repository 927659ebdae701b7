package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// keep is how much of one test's output is held until it is known whether it is wanted: the end of it, where failures
// say why.
const keep = 256 << 10

// event is one line of `go test -json`; see `go doc test2json`.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

type testID struct{ pkg, test string }

// report turns the events of a run into what a person wants to read.
type report struct {
	out     io.Writer
	held    map[testID][]string
	size    map[testID]int
	skipped map[testID]string
	passed  int
}

func newReport(out io.Writer) *report {
	return &report{out: out, held: map[testID][]string{}, size: map[testID]int{}, skipped: map[testID]string{}}
}

// read takes events until the end of r. Lines that are no events are passed through: they are what the go command says
// for itself.
func (r *report) read(in io.Reader) error {
	br := bufio.NewReaderSize(in, 64<<10)
	for {
		line, err := br.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil || e.Action == "" {
				r.write(string(line))
			} else {
				r.take(e)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *report) take(e event) {
	id := testID{e.Package, e.Test}
	switch {
	case e.Action == "build-output":
		r.write(e.Output)
	case e.Action == "output" && e.Test == "":
		// The package's own lines: its result, races outside any test, panics. PASS says no more than the result does.
		if e.Output != "PASS\n" && !strings.HasPrefix(e.Output, "testing: warning: no tests to run") {
			r.write(e.Output)
		}
	case e.Action == "output":
		r.hold(id, e.Output)
	case e.Test == "" && (e.Action == "fail" || e.Action == "pass" || e.Action == "skip"):
		// What is still held now belongs to tests that never ended: the process died.
		r.unfinished(e.Package)
	case e.Action == "fail":
		r.show(id)
	case e.Action == "skip":
		r.skipped[id] = reasonOf(r.held[id])
		r.drop(id)
	case e.Action == "pass":
		r.passed++
		r.drop(id)
	}
}

func (r *report) hold(id testID, text string) {
	r.held[id] = append(r.held[id], text)
	r.size[id] += len(text)
	for r.size[id] > keep && len(r.held[id]) > 1 {
		r.size[id] -= len(r.held[id][0])
		r.held[id] = r.held[id][1:]
	}
}

func (r *report) show(id testID) {
	for _, line := range r.held[id] {
		r.write(line)
	}
	r.drop(id)
}

func (r *report) drop(id testID) {
	delete(r.held, id)
	delete(r.size, id)
}

func (r *report) unfinished(pkg string) {
	var ids []testID
	for id := range r.held {
		if id.pkg == pkg {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b testID) int { return strings.Compare(a.test, b.test) })
	for _, id := range ids {
		r.show(id)
	}
}

// reasonOf picks what t.Skip was given from the output of a skipped test.
func reasonOf(lines []string) string {
	var said []string
	for _, l := range lines {
		l = strings.TrimSpace(l)
		if l != "" && !strings.HasPrefix(l, "=== ") && !strings.HasPrefix(l, "--- ") {
			said = append(said, l)
		}
	}
	if len(said) == 0 {
		return "no reason given"
	}
	return strings.Join(said, " ")
}

// skips lists what was skipped and reports whether that is acceptable.
func (r *report) skips(ci bool) bool {
	if len(r.skipped) == 0 {
		return true
	}
	var lines []string
	for id, why := range r.skipped {
		lines = append(lines, fmt.Sprintf("* SKIPPED %s %s: %s\n", id.pkg, id.test, why))
	}
	slices.Sort(lines)
	stars := strings.Repeat("*", 72) + "\n"
	r.write("\n" + stars)
	for _, l := range lines {
		r.write(l)
	}
	if ci {
		r.write("* With CI=true nothing may be skipped: this run has failed.\n")
	} else {
		r.write(fmt.Sprintf("* What %d tests would have shown is not known. `make needs` says what they need.\n", len(lines)))
	}
	r.write(stars)
	return !ci
}

func (r *report) write(s string) { _, _ = io.WriteString(r.out, s) }
