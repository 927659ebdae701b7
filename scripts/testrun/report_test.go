package main

import (
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	cases := map[string]struct {
		events string
		want   []string
		not    []string
		failCI bool
	}{
		"a test that passes is quiet and its package's result is shown": {
			events: `{"Action":"output","Package":"p","Test":"TestA","Output":"chatter\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"PASS\n"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.01s\n"}
{"Action":"pass","Package":"p"}`,
			want: []string{"ok  \tp\t0.01s\n"},
			not:  []string{"chatter", "PASS"},
		},
		"a test that fails is shown with all it wrote": {
			events: `{"Action":"output","Package":"p","Test":"TestA","Output":"got 1, want 2\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.01s\n"}
{"Action":"fail","Package":"p"}`,
			want: []string{"got 1, want 2\n", "FAIL\tp"},
		},
		"a test that never ended is shown": {
			events: `{"Action":"output","Package":"p","Test":"TestA","Output":"before the panic\n"}
{"Action":"output","Package":"q","Test":"TestB","Output":"of another package\n"}
{"Action":"fail","Package":"p"}`,
			want: []string{"before the panic"},
			not:  []string{"of another package"},
		},
		"a skipped test is listed with its reason": {
			events: `{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:7: no PostgreSQL here\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"--- SKIP: TestA (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p"}`,
			want:   []string{"SKIPPED p TestA: a_test.go:7: no PostgreSQL here"},
			failCI: true,
		},
		"a package without tests is not a skipped test": {
			events: `{"Action":"output","Package":"p","Output":"?   \tp\t[no test files]\n"}
{"Action":"skip","Package":"p"}`,
			want: []string{"[no test files]"},
			not:  []string{"SKIPPED"},
		},
		"errors of the compiler are shown": {
			events: `{"ImportPath":"p","Action":"build-output","Output":"p.go:1:1: syntax error\n"}
{"ImportPath":"p","Action":"build-fail"}`,
			want: []string{"syntax error"},
		},
		"what is no event is passed through": {
			events: "go: downloading a module\n{}",
			want:   []string{"go: downloading a module\n", "{}"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for _, ci := range []bool{false, true} {
				var out strings.Builder
				r := newReport(&out)
				if err := r.read(strings.NewReader(c.events)); err != nil {
					t.Fatal(err)
				}
				if ok := r.skips(ci); ok != (!ci || !c.failCI) {
					t.Errorf("ci=%t: skips are acceptable = %t", ci, ok)
				}
				for _, w := range c.want {
					if !strings.Contains(out.String(), w) {
						t.Errorf("ci=%t: missing %q in:\n%s", ci, w, &out)
					}
				}
				for _, n := range c.not {
					if strings.Contains(out.String(), n) {
						t.Errorf("ci=%t: unwanted %q in:\n%s", ci, n, &out)
					}
				}
			}
		})
	}
}

func TestOnlyTheEndOfALongOutputIsKept(t *testing.T) {
	var out strings.Builder
	r := newReport(&out)
	line := strings.Repeat("x", 1000) + "\n"
	for range 1000 {
		r.take(event{Action: "output", Package: "p", Test: "TestA", Output: line})
	}
	r.take(event{Action: "output", Package: "p", Test: "TestA", Output: "the last words\n"})
	r.take(event{Action: "fail", Package: "p", Test: "TestA"})
	if out.Len() > keep+len(line) {
		t.Errorf("%d bytes shown, want at most about %d", out.Len(), keep)
	}
	if !strings.HasSuffix(out.String(), "the last words\n") {
		t.Error("the end of the output is missing")
	}
}
