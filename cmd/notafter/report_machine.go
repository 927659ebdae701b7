package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

func writeJSON(w io.Writer, r report) error {
	b, err := encode(r, "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

func writeJSONLine(w io.Writer, e endpoint) error {
	b, err := encode(e, "")
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

// encode gives JSON that is safe to show on a terminal too: encoding/json escapes the controls of ASCII, and this adds
// the others and those that turn the direction of text around. All of them can only stand inside strings.
func encode(v any, indent string) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	if !bytes.ContainsFunc(buf.Bytes(), hidden) {
		return buf.Bytes(), nil
	}
	var out bytes.Buffer
	for _, r := range buf.String() {
		if hidden(r) {
			fmt.Fprintf(&out, `\u%04x`, r)
		} else {
			out.WriteRune(r)
		}
	}
	return out.Bytes(), nil
}

// hidden reports whether a rune acts on a terminal or on the order of text rather than being seen, line breaks aside.
func hidden(r rune) bool {
	return r != '\n' && r < 0x20 || r >= 0x7f && r < 0xa0 || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' ||
		r == '\u200e' || r == '\u200f' || r == '\u061c' || r == '\u2028' || r == '\u2029'
}

// The JUnit format as Jenkins, GitLab and GitHub's actions read it: a failure is a thing found to be bad, an error is a
// thing that could not be determined. They show one per test case, so the text of it holds every finding.
type junitSuites struct {
	XMLName xml.Name   `xml:"testsuites"`
	Suite   junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name      string      `xml:"name,attr"`
	Tests     int         `xml:"tests,attr"`
	Failures  int         `xml:"failures,attr"`
	Errors    int         `xml:"errors,attr"`
	Time      string      `xml:"time,attr"`
	Timestamp string      `xml:"timestamp,attr"`
	Cases     []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Failure *junitOutcome `xml:"failure"`
	Error   *junitOutcome `xml:"error"`
	Output  *junitText    `xml:"system-out"`
}

type junitText struct {
	Text string `xml:",cdata"`
}

type junitOutcome struct {
	Type    string `xml:"type,attr"`
	Message string `xml:"message,attr"`
	Text    string `xml:",cdata"`
}

func writeJUnit(w io.Writer, r report, took time.Duration) error {
	suite := junitSuite{
		Name: "notafter check", Tests: len(r.Endpoints), Failures: r.count(assure.Broken), Errors: r.count(assure.Unknown),
		Time: fmt.Sprintf("%.3f", took.Seconds()), Timestamp: r.Checked.UTC().Format(time.RFC3339),
	}
	for _, e := range r.Endpoints {
		c := junitCase{Class: "notafter.serving", Name: e.Target}
		var text strings.Builder
		for _, f := range e.Findings {
			where := ""
			if f.Address != nil {
				where = " at " + *f.Address
			}
			fmt.Fprintf(&text, "\n%s (%s)%s: %s\n%s\n%s\n", f.Reason, f.Severity, where, f.Summary, f.Action, f.Docs)
		}
		outcome := &junitOutcome{Type: "unknown", Message: "could not be determined", Text: cleanLines(text.String())}
		if len(e.Findings) > 0 {
			outcome.Type, outcome.Message = string(e.Findings[0].Reason), clean(e.Findings[0].Summary)
		}
		switch e.Verdict {
		case assure.Upheld:
			if text.Len() > 0 { // remarks that concern nobody yet
				c.Output = &junitText{cleanLines(text.String())}
			}
		case assure.Broken:
			c.Failure = outcome
		default:
			c.Error = outcome
		}
		suite.Cases = append(suite.Cases, c)
	}
	b, err := xml.MarshalIndent(junitSuites{Suite: suite}, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s%s\n", xml.Header, b)
	return err
}
