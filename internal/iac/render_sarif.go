package iac

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// SARIF 2.1.0 (OASIS, "Static Analysis Results Interchange Format"), as far as GitHub, GitLab and editors read it.
const (
	sarifVersion = "2.1.0"
	sarifSchema  = "https://json.schemastore.org/sarif-2.1.0.json"
	projectURL   = "https://github.com/notafter/notafter"
)

type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool        sarifTool         `json:"tool"`
	Invocations []sarifInvocation `json:"invocations"`
	ColumnKind  string            `json:"columnKind"`
	Results     []sarifResult     `json:"results"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name           string      `json:"name"`
	Version        string      `json:"version,omitempty"`
	InformationURI string      `json:"informationUri"`
	Rules          []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID      string       `json:"id"`
	Name    string       `json:"name"`
	Short   sarifMessage `json:"shortDescription"`
	Full    sarifMessage `json:"fullDescription"`
	Help    sarifMessage `json:"help"`
	HelpURI string       `json:"helpUri"`
	Default sarifLevel   `json:"defaultConfiguration"`
}

type sarifLevel struct {
	Level string `json:"level"`
}

type sarifMessage struct {
	Text string `json:"text"`
}

type sarifInvocation struct {
	Successful    bool                `json:"executionSuccessful"`
	Notifications []sarifNotification `json:"toolExecutionNotifications,omitempty"`
}

type sarifNotification struct {
	Level   string       `json:"level"`
	Message sarifMessage `json:"message"`
}

type sarifResult struct {
	RuleID       string            `json:"ruleId"`
	RuleIndex    int               `json:"ruleIndex"`
	Level        string            `json:"level"`
	Message      sarifMessage      `json:"message"`
	Locations    []sarifLocation   `json:"locations"`
	Fingerprints map[string]string `json:"partialFingerprints,omitempty"`
	Suppressions []sarifSuppressed `json:"suppressions,omitempty"`
	Properties   *sarifProperties  `json:"properties,omitempty"`
}

type sarifLocation struct {
	Physical sarifPhysical  `json:"physicalLocation"`
	Logical  []sarifLogical `json:"logicalLocations,omitempty"`
}

// sarifPhysical names the plan: the line of code that a resource comes from does not stand in a plan. GitHub needs a file
// all the same.
type sarifPhysical struct {
	Artifact sarifArtifact `json:"artifactLocation"`
	Region   sarifRegion   `json:"region"`
}

type sarifArtifact struct {
	URI string `json:"uri"`
}

type sarifRegion struct {
	StartLine int `json:"startLine"`
}

type sarifLogical struct {
	Name string `json:"fullyQualifiedName"`
	Kind string `json:"kind"`
}

type sarifSuppressed struct {
	Kind          string `json:"kind"`
	Status        string `json:"status"`
	Justification string `json:"justification"`
}

type sarifProperties struct {
	Certificates []string `json:"certificates,omitempty"`
	HurtsAt      string   `json:"hurtsAt,omitempty"`
	Principal    string   `json:"principal,omitempty"`
	Permission   string   `json:"permission,omitempty"`
	Scope        string   `json:"scope,omitempty"`
}

// mostResults is how many results a log holds, the first ones. GitHub shows 5,000 of a run, and takes none of a run that has
// more than 25,000 ("SARIF support for code scanning", limits).
const mostResults = 5000

// SARIF writes the verdict as a SARIF log. Each class is a rule, each finding a result; those that somebody answers for
// are suppressed, with the reason. What it leaves out is said in a notification.
func (v Verdict) SARIF(w io.Writer, o RenderOptions) error {
	run := sarifRun{
		Tool:        sarifTool{sarifDriver{Name: "notafter", Version: o.Version, InformationURI: projectURL, Rules: []sarifRule{}}},
		Invocations: []sarifInvocation{{Successful: true}}, ColumnKind: "unicodeCodePoints", Results: []sarifResult{},
	}
	index := map[Class]int{}
	for _, c := range Classes() {
		index[c] = len(run.Tool.Driver.Rules)
		text := wordsOf(c)
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{
			ID: "renewal/" + string(c), Name: "Renewal" + strings.ToUpper(string(c[:1])) + string(c[1:]), Short: sarifMessage{text.title + "."}, Full: sarifMessage{text.help},
			Help: sarifMessage{text.help}, HelpURI: projectURL + "/blob/main/docs/guides/guard.md#" + string(c), Default: sarifLevel{c.sarifLevel()},
		})
	}
	if left := len(v.Findings) - mostResults; left > 0 {
		run.Invocations[0].Notifications = []sarifNotification{{"warning", sarifMessage{fmt.Sprintf("%d more findings are left out: see the log, or notafter guard --output json.", left)}}}
	}
	for _, f := range v.Findings[:min(len(v.Findings), mostResults)] {
		text := []string{tidy(f.Summary)}
		if text[0] == "" {
			text[0] = wordsOf(f.Class).title + "."
		}
		if when := f.hurts(RenderOptions{}); when != "" {
			text = append(text, "First hurts on "+when+".")
		}
		for _, p := range pieces(f.Repair) {
			if p.code {
				text = append(text, p.text)
			} else if s := tidy(p.text); s != "" {
				text = append(text, s)
			}
		}
		r := sarifResult{
			RuleID: "renewal/" + string(f.Class), RuleIndex: index[f.Class], Level: f.Class.sarifLevel(), Message: sarifMessage{strings.Join(text, "\n")},
			Locations: []sarifLocation{{Physical: sarifPhysical{sarifArtifact{planURI(o.Plan)}, sarifRegion{1}}}},
		}
		if a := tidy(f.Address); a != "" {
			r.Locations[0].Logical = []sarifLogical{{a, "resource"}}
		}
		if f.Fingerprint != "" {
			r.Fingerprints = map[string]string{"notafter/v1": tidy(f.Fingerprint)}
		}
		p := sarifProperties{Certificates: f.Certificates, Principal: tidy(f.Principal), Permission: tidy(f.Permission), Scope: tidy(f.Scope)}
		if f.HurtsAt != nil {
			p.HurtsAt = f.HurtsAt.UTC().Format("2006-01-02T15:04:05Z")
		}
		r.Properties = &p
		if ov := f.Overridden; ov != nil {
			r.Suppressions = []sarifSuppressed{{Kind: "external", Status: "accepted", Justification: tidy(ov.Reason) + " (" + tidy(ov.By) + ", until " + moment(ov.Until) + ")"}}
		}
		run.Results = append(run.Results, r)
	}
	return writeEncoded(w, sarifLog{sarifSchema, sarifVersion, []sarifRun{run}})
}

func (c Class) sarifLevel() string {
	switch {
	case c.Fails():
		return "error"
	case c == Safe:
		return "note"
	}
	return "warning"
}

// planURI is the plan's file as a relative reference (RFC 3986 section 4.2).
func planURI(name string) string {
	if name == "" {
		return "plan.json"
	}
	if filepath.IsAbs(name) { // where a checkout is on one machine means nothing elsewhere
		name = filepath.Base(name)
	}
	var b strings.Builder
	for _, c := range []byte(filepath.ToSlash(filepath.Clean(name))) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~/", c) >= 0 {
			b.WriteByte(c)
		} else {
			b.WriteString("%" + string("0123456789ABCDEF"[c>>4]) + string("0123456789ABCDEF"[c&15]))
		}
	}
	return b.String()
}
