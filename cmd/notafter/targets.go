package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/notafter/notafter/internal/assure"
)

// maxTargetLine bounds a line of a list. A target is at most 512 bytes; the rest is room for a comment.
const maxTargetLine = 64 << 10

// readTargets gathers the targets of the command line and of lists, in this order. Every one that cannot be read is in
// the error, with its line. A target that comes again is left out and counted.
func (p *program) readTargets(args, lists []string) (targets []assure.Target, repeated int, err error) {
	var bad []error
	seen := map[string]bool{}
	add := func(text, where string) {
		t, err := assure.ParseTarget(text)
		if err != nil {
			bad = append(bad, fmt.Errorf("%s%w", where, err))
			return
		}
		if name := t.String(); !seen[name] {
			seen[name] = true
			targets = append(targets, t)
			return
		}
		repeated++
	}
	for _, a := range args {
		add(a, "")
	}
	for _, list := range lists {
		if err := p.readList(list, add); err != nil {
			bad = append(bad, err)
		}
	}
	if len(bad) > 0 {
		return nil, 0, errors.Join(bad...)
	}
	if len(targets) == 0 {
		if len(lists) > 0 {
			return nil, 0, errors.New("nothing to look at: the list holds no target")
		}
		return nil, 0, misuse("nothing to look at: name at least one target, or a list with --targets")
	}
	return targets, repeated, nil
}

// readList reads one target a line. What follows a # at the beginning of a word is a comment.
func (p *program) readList(name string, add func(text, where string)) error {
	var in io.Reader = p.stdin
	if name == "-" {
		name = "standard input"
	} else {
		f, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("read targets: %w", err)
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	s := bufio.NewScanner(in)
	s.Buffer(nil, maxTargetLine)
	line := 0
	for s.Scan() {
		line++
		text := s.Text()
		if line == 1 {
			text = strings.TrimPrefix(text, "\ufeff") // a byte order mark, as some editors leave it
		}
		for i, r := range text {
			if r == '#' && (i == 0 || text[i-1] == ' ' || text[i-1] == '\t') {
				text = text[:i]
				break
			}
		}
		if text = strings.TrimSpace(text); text != "" {
			add(text, fmt.Sprintf("%s:%d: ", name, line))
		}
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("read targets: %s:%d: %w", name, line+1, err)
	}
	return nil
}
