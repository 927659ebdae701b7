package iac

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestInert(t *testing.T) {
	for line, want := range map[string]string{
		"::error::x":                          ": :error::x",
		"  \u00a0::set-output name=a::b":      "  \u00a0: :set-output name=a::b",
		"\x1b[1m::stop-commands::x\x1b[0m":    "\x1b[1m: :stop-commands::x\x1b[0m",
		"a ##[error]b ##[group]c":             "a ## [error]b ## [group]c",
		"##vso[task.setvariable variable=A]b": "## vso[task.setvariable variable=A]b",
		"##teamcity[blockOpened name='x']":    "## teamcity[blockOpened name='x']",
		// What is no command stays as it is: addresses, names, headings.
		"::1 does not answer": "::1 does not answer", "::ffff:192.0.2.1": "::ffff:192.0.2.1", "a ::error::b": "a ::error::b", "Aws::Thing::x": "Aws::Thing::x",
		"### heading": "### heading", "a[\"#\"]": "a[\"#\"]", "": "",
	} {
		if got := Inert(line); got != want {
			t.Errorf("%q becomes %q, want %q", line, got, want)
		}
	}
}

// commands finds what a runner would take for a command, as its own code looks for it.
var commands = regexp.MustCompile(`(?m)^[\s\p{Z}]*::[A-Za-z][^:]*::|##[A-Za-z]*\[`)

// Whatever names a plan holds, and wherever a line breaks, nothing that is printed is a command to a pipeline. JSON is for
// programs and holds the names as they are.
func TestNoNameInAPlanIsACommand(t *testing.T) {
	for _, evil := range []string{"::error::pwn", "::set-output name=a::b", "##[error]x", "##vso[task.setvariable variable=A]b", "\u200b::warning file=a::b", "#\u200b#[error]x"} {
		word := "aws_route53_zone.x[\"a " + evil + " " + strings.Repeat(evil+" ", 20) + "\"]"
		v := Verdict{Class: Lost, Findings: []Finding{{
			Class: Lost, Address: word, Principal: evil, Permission: evil, Scope: evil, Certificates: []string{evil}, Summary: evil + " " + word,
			Repair: evil + "\n  " + evil + "\n" + word + "\n\nmoved {\n" + evil + "\n  to = " + word + "\n}", Fingerprint: evil,
		}, {Class: Gap, Address: evil, Summary: evil, Overridden: &Override{By: evil, Reason: evil}}}}
		for _, columns := range []int{0, 40, 61, 80} {
			var text, markdown bytes.Buffer
			o := RenderOptions{Now: time.Now(), Columns: columns, Overrides: evil, Plan: evil, Colour: columns == 61}
			if err := v.Text(&text, o); err != nil {
				t.Fatal(err)
			}
			if err := v.Markdown(&markdown, o); err != nil {
				t.Fatal(err)
			}
			for _, out := range []string{text.String(), markdown.String()} {
				if got := commands.FindAllString(out, 3); got != nil {
					t.Errorf("%q in %d columns: %q is a command in\n%s", evil, columns, got, out)
				}
			}
		}
		var b bytes.Buffer
		if err := v.JSON(&b); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(evil, "\u200b") && !strings.Contains(b.String(), evil) {
			t.Errorf("JSON does not hold %q: %s", evil, &b)
		}
	}
}

// A log with more results than GitHub takes would be refused as a whole, and nobody would see any.
func TestSARIFStaysWithinTheLimit(t *testing.T) {
	v := Verdict{Class: Lost, Findings: make([]Finding, mostResults+7)}
	for i := range v.Findings {
		v.Findings[i] = Finding{Class: Lost, Summary: "x"}
	}
	for _, n := range []int{len(v.Findings), mostResults} {
		v.Findings = v.Findings[:n]
		var b bytes.Buffer
		if err := v.SARIF(&b, RenderOptions{}); err != nil {
			t.Fatal(err)
		}
		var log sarifLog
		if err := json.Unmarshal(b.Bytes(), &log); err != nil || len(log.Runs[0].Results) != mostResults {
			t.Errorf("%v, %d results", err, len(log.Runs[0].Results))
		}
		said := log.Runs[0].Invocations[0].Notifications
		if more := n > mostResults; more != (len(said) == 1) || more && !strings.HasPrefix(said[0].Message.Text, "7 more findings") {
			t.Errorf("of %d findings it says %+v", n, said)
		}
	}
}
