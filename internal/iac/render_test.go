package iac

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func onDate(s string) *time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return &t
}

func addressed(s string) *string { return &s }

// shownVerdict has a finding of most shapes.
func shownVerdict() Verdict {
	return Verdict{Class: Lost, Findings: []Finding{
		{
			Class: Lost, Address: "azurerm_role_assignment.cm", ProviderType: "azurerm_role_assignment", Principal: "0b1ec700-0000-4000-8000-000000000001",
			Permission: "DNS Zone Contributor", Scope: "/subscriptions/s/dnsZones/example.com", Certificates: []string{"hosted-eu", "hosted-us"},
			HurtsAt: onDate("2026-10-08T04:12:00Z"), Summary: "hosted-eu and hosted-us stop renewing: cert-manager loses DNS Zone Contributor on the zone example.com, and nothing else in this plan allows it.",
			Repair: "Keep it, or say where it has gone:\n\nmoved {\n  from = azurerm_role_assignment.cm\n  to   = azurerm_role_assignment.cm[\"eu\"]\n}", Fingerprint: "0011223344556677",
		},
		{
			Class: Gap, Address: "azurerm_dns_zone.z", Previous: addressed("module.old.azurerm_dns_zone.z"), ProviderType: "azurerm_dns_zone", Certificates: []string{},
			Summary: "The zone example.com is destroyed first and made again afterwards.", Repair: "Undo what forces the replacement.", Fingerprint: "8899aabbccddeeff",
		},
		{Class: Incomplete, Certificates: []string{}, Summary: "Planning ended in an error.", Repair: "Mend it.", Fingerprint: "1212121212121212"},
	}}
}

var shownOptions = RenderOptions{Now: *onDate("2026-09-22T15:00:00Z"), Inventory: true}

func asText(t *testing.T, v Verdict, o RenderOptions) string {
	t.Helper()
	var b bytes.Buffer
	if err := v.Text(&b, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTextSaysTheConsequenceFirst(t *testing.T) {
	got := asText(t, shownVerdict(), shownOptions)
	want := `LOST  hosted-eu and hosted-us stop renewing: cert-manager loses DNS Zone Contributor on the zone
      example.com, and nothing else in this plan allows it.
  first hurts   8 Oct 2026 04:12 UTC, in 15 days
  certificates  hosted-eu, hosted-us
  identity      0b1ec700-0000-4000-8000-000000000001
  permission    DNS Zone Contributor
  where         /subscriptions/s/dnsZones/example.com
  resource      azurerm_role_assignment.cm
  → Keep it, or say where it has gone:
      moved {
        from = azurerm_role_assignment.cm
        to   = azurerm_role_assignment.cm["eu"]
      }

GAP  The zone example.com is destroyed first and made again afterwards.
  resource      azurerm_dns_zone.z
  before        module.old.azurerm_dns_zone.z
  → Undo what forces the replacement.

INCOMPLETE  Planning ended in an error.
  → Mend it.

To let a finding pass for a time all the same, answer for it in .notafter-overrides.yaml:
  - fingerprint: "0011223344556677"  # lost at azurerm_role_assignment.cm
    by: ""      # who answers for it
    reason: ""  # why it may pass
    until: 2026-10-06
  - fingerprint: "8899aabbccddeeff"  # gap at azurerm_dns_zone.z
    by: ""      # who answers for it
    reason: ""  # why it may pass
    until: 2026-10-06

1 lost, 1 gap, 1 incomplete. Do not apply this plan as it is.
`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestDriftIsNoPlanToApply(t *testing.T) {
	o := shownOptions
	o.Drift, o.Inventory = true, false
	got := asText(t, shownVerdict(), o)
	if strings.Contains(got, "apply") || strings.Contains(got, "fingerprint") || strings.Contains(got, "--inventory") || !strings.HasSuffix(got, "\n1 lost, 1 gap, 1 incomplete.\n") {
		t.Errorf("said:\n%s", got)
	}
}

func TestWhatAFindingNamesIsCalledByWhatItIs(t *testing.T) {
	const azure = "/subscriptions/s/resourceGroups/dns/providers/Microsoft.Network/dnsZones/example.com"
	for _, c := range []struct {
		f    Finding
		want string
	}{
		{Finding{kind: KindGrant, Principal: "p", Permission: "DNS Zone Contributor", Scope: azure}, "identity p, permission DNS Zone Contributor, where " + azure},
		{Finding{kind: KindTrust, Principal: "p", Permission: "federated credential", Scope: "the cluster prod"}, "identity p, by federated credential, where the cluster prod"},
		{Finding{kind: KindZone, Principal: "example.com", Permission: "hosted zone", Scope: "example.com"}, "what example.com"},
		{Finding{kind: KindZone, Principal: "example.com", Scope: azure}, "what example.com, where " + azure},
		{Finding{kind: KindSolver, Principal: "clusterissuer letsencrypt", Permission: "acme", Scope: "/kubernetes"}, "what clusterissuer letsencrypt"},
		{Finding{kind: KindBlock, Permission: "the ReadOnly lock keep", Scope: azure}, "what the ReadOnly lock keep, where " + azure},
		{Finding{kind: KindBlock, Principal: "example.com", Permission: "a CAA record", Scope: "example.com"}, "what a CAA record, concerns example.com"},
	} {
		var got []string
		for _, p := range c.f.particulars() {
			got = append(got, p.label+" "+p.text)
		}
		if s := strings.Join(got, ", "); s != c.want {
			t.Errorf("%s: %s\nwant %s", c.f.kind, s, c.want)
		}
	}
}

func TestTextOfAnUntouchedRenewalIsSilence(t *testing.T) {
	if got := asText(t, Verdict{Class: Safe}, shownOptions); got != "" {
		t.Errorf("said %q", got)
	}
}

func TestTextNamesWhoAnswersForWhat(t *testing.T) {
	v := shownVerdict()
	v.Findings = v.Findings[:1]
	v, notes := v.Override([]Override{{Fingerprint: "0011223344556677", By: "Ana", Reason: "moves to the other subscription", Until: *onDate("2026-10-06T23:59:59Z")}}, shownOptions.Now)
	want := `overridden  lost at azurerm_role_assignment.cm: by Ana until 6 Oct 2026 23:59 UTC: moves to the other subscription

Somebody answers for everything found here.
`
	if got := asText(t, v, shownOptions); got != want || len(notes) != 0 {
		t.Errorf("got:\n%s\nnotes %q", got, notes)
	}
}

func TestTextTellsOfWhatAPlanMends(t *testing.T) {
	v := Verdict{Class: Safe, Findings: []Finding{{Class: Safe, Address: "a.b", Summary: "Renewal was broken, and this plan mends it.", Fingerprint: "f"}}}
	got := asText(t, v, shownOptions)
	if !strings.HasPrefix(got, "SAFE  Renewal was broken, and this plan mends it.\n") || strings.Contains(got, "fingerprint") || !strings.Contains(got, "gives back") {
		t.Errorf("got:\n%s", got)
	}
}

func TestColourIsForTerminalsOnly(t *testing.T) {
	o := shownOptions
	if strings.Contains(asText(t, shownVerdict(), o), "\x1b") {
		t.Error("colour without being asked for")
	}
	o.Colour = true
	if !strings.HasPrefix(asText(t, shownVerdict(), o), "\x1b[1;31mLOST\x1b[0m  ") {
		t.Error("no colour where it was asked for")
	}
}

// hostile is what a plan may hold in an address or a value.
const hostile = "x[\"](https://evil.example/) ![](http://e/p.png) <img src=x onerror=alert(1)> @security org/repo#1 #12 GH-7 `` ` ```\n# h\n- [ ] deadbeefcafe www.evil.example a@b.example \x1b[31m\u202e\u200b :tada: </details></summary> {{x}} | a\\"

func hostileVerdict() Verdict {
	return Verdict{Class: Lost, Findings: []Finding{
		{
			Class: Lost, Address: hostile, Previous: addressed(hostile + "2"), Principal: hostile, Permission: hostile, Scope: hostile, Certificates: []string{hostile}, HurtsAt: onDate("2026-10-08T04:12:00Z"),
			Summary: hostile, Repair: hostile + "\n\nmoved {\n  from = " + hostile + "\n}\n```\n@team", Fingerprint: hostile,
		},
		{Class: Gap, Address: hostile, Summary: "x", Fingerprint: "y", Overridden: &Override{Fingerprint: "y", By: hostile, Reason: hostile, Until: *onDate("2026-10-06T23:59:59Z")}},
	}}
}

// uncoded is what of a comment is neither in a code block nor in a code span (CommonMark 0.31, sections 4.5 and 6.1), nor
// in the code of a summary, where escaped HTML stands.
func uncoded(s string) string {
	var out strings.Builder
	fence := ""
	for line := range strings.SplitSeq(s, "\n") {
		n := ticks(line)
		inner, isSummary := strings.CutPrefix(line, "<details><summary><code>")
		switch {
		case fence != "":
			if n >= len(fence) && strings.TrimSpace(line[n:]) == "" {
				fence = ""
			}
			continue
		case n >= 3 && !strings.Contains(line[n:], "`"):
			fence = line[:n]
			continue
		case isSummary:
			if inner, isSummary = strings.CutSuffix(inner, "</code></summary>"); !isSummary || strings.ContainsAny(inner, "<>\"'") {
				out.WriteString("[an address escapes] ")
			}
			continue
		}
		for {
			i := strings.IndexByte(line, '`')
			if i < 0 {
				break
			}
			out.WriteString(line[:i])
			line = line[i:]
			n := ticks(line)
			end := -1
			for j := n; j < len(line) && end < 0; j++ {
				if m := ticks(line[j:]); m == n {
					end = j + m
				} else if m > 0 {
					j += m - 1
				}
			}
			if end < 0 {
				out.WriteString("[a span without an end] ")
				line = line[n:]
				continue
			}
			out.WriteByte('_')
			line = line[end:]
		}
		out.WriteString(line + "\n")
	}
	if fence != "" {
		out.WriteString("[a block without an end]")
	}
	return out.String()
}

func ticks(s string) int { return len(s) - len(strings.TrimLeft(s, "`")) }

// tame finds what in a comment could become a link, a mention, a reference, an image or a tag; empty when nothing can.
func tame(md string) string {
	rest := uncoded(md)
	for _, own := range []string{MarkdownMark, "</details>", "### ❌", "### ⚠️"} {
		rest = strings.ReplaceAll(rest, own, "")
	}
	for _, bad := range []string{"<", ">", "[", "]", "@", "#", "://", "www.", "`", "|", "\\", "{{", "GH-", "deadbeef", "\x1b", "\u202e", "\u200b", ":tada"} {
		if strings.Contains(strings.ToLower(rest), strings.ToLower(bad)) {
			return fmt.Sprintf("%q in %q", bad, rest)
		}
	}
	return ""
}

func asMarkdown(t *testing.T, v Verdict) string {
	t.Helper()
	var b bytes.Buffer
	if err := v.Markdown(&b, shownOptions); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestMarkdownCannotBeMadeToSayMore(t *testing.T) {
	md := asMarkdown(t, hostileVerdict())
	if bad := tame(md); bad != "" {
		t.Errorf("%s\n\n%s", bad, md)
	}
	if n := strings.Count(md, "<details>"); n != 1 || n != strings.Count(md, "</details>\n") {
		t.Errorf("%d details in:\n%s", n, md)
	}
	if tame("**x** see [a](b)") == "" || tame("```\n@x\n") == "" || tame("a `b` @c") == "" {
		t.Error("the test itself sees nothing")
	}
}

func TestMarkdownOfAFinding(t *testing.T) {
	v := shownVerdict()
	v.Findings = v.Findings[:1]
	got := asMarkdown(t, v)
	want := "<!-- notafter guard -->\n### ❌ notafter guard: certificates would stop renewing\n\n1 lost. **Do not apply this plan as it is.**\n\n" +
		"**LOST**: `hosted-eu` and `hosted-us` stop renewing: cert-manager loses DNS Zone Contributor on the zone `example.com`, and nothing else in this plan allows it.\n\n" +
		"First hurts on **8 Oct 2026 04:12 UTC, in 15 days**.\n\n→ Keep it, or say where it has gone:\n\n```hcl\nmoved {\n  from = azurerm_role_assignment.cm\n  to   = azurerm_role_assignment.cm[\"eu\"]\n}\n```\n\n" +
		"<details><summary><code>azurerm_role_assignment.cm</code></summary>\n\n- certificates: `hosted-eu`, `hosted-us`\n- identity: `0b1ec700-0000-4000-8000-000000000001`\n" +
		"- permission: `DNS Zone Contributor`\n- where: `/subscriptions/s/dnsZones/example.com`\n- resource: `azurerm_role_assignment.cm`\n\n" +
		"To let it pass for a time all the same, answer for it in `.notafter-overrides.yaml`:\n\n```yaml\n- fingerprint: \"0011223344556677\"\n  by: \"\"      # who answers for it\n  reason: \"\"  # why it may pass\n  until: 2026-10-06\n```\n\n</details>\n"
	want = strings.ReplaceAll(want, "`hosted-eu` and `hosted-us` stop", "hosted-eu and hosted-us stop") // letters alone need no code
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if got := asMarkdown(t, Verdict{Class: Safe}); got != "<!-- notafter guard -->\n**notafter guard**: renewal is untouched by this plan.\n" {
		t.Errorf("untouched: %q", got)
	}
}

// A comment of GitHub holds 65,536 characters; one that is longer is refused as a whole, and nobody is told anything.
func TestMarkdownStaysWithinTheLimit(t *testing.T) {
	v := Verdict{Class: Lost}
	for i := range 400 {
		f := shownVerdict().Findings[0]
		f.Address, f.Fingerprint = strings.Repeat("m", 200)+fmt.Sprint(i), fmt.Sprint(i)
		v.Findings = append(v.Findings, f)
	}
	big := v.Findings[0]
	big.Summary, big.Repair, big.Scope = strings.Repeat("long ", 1e5), strings.Repeat("long\n", 1e5), strings.Repeat("long", 1e5)
	for range 1000 {
		big.Certificates = append(big.Certificates, strings.Repeat("c", 300))
	}
	for _, v := range []Verdict{v, {Class: Lost, Findings: []Finding{big, big}}} {
		md := asMarkdown(t, v)
		if len(md) > 65_000 || !strings.HasPrefix(md, MarkdownMark+"\n### ❌ notafter guard: certificates would stop renewing\n") {
			t.Errorf("%d bytes: %.200s", len(md), md)
		}
	}
	if md := asMarkdown(t, v); !strings.Contains(md, "more did not fit") {
		t.Error("what is left out is not told")
	}
}

func TestJSONIsTheContract(t *testing.T) {
	var b bytes.Buffer
	v := shownVerdict()
	v.Findings[1].Certificates = nil
	if err := v.JSON(&b); err != nil {
		t.Fatal(err)
	}
	var got map[string]json.RawMessage
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || string(got["verdict"]) != `"lost"` {
		t.Errorf("the top: %v", got)
	}
	var list []map[string]any
	if err := json.Unmarshal(got["findings"], &list); err != nil || len(list) != 3 {
		t.Fatalf("findings: %v, %s", err, got["findings"])
	}
	for _, f := range list {
		var keys []string
		for k := range f {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		if want := "[address certificates class fingerprint hurts_at permission previous_address principal provider_type repair scope summary]"; fmt.Sprint(keys) != want {
			t.Errorf("members %v, want %s", keys, want)
		}
		if _, ok := f["certificates"].([]any); !ok {
			t.Errorf("certificates: %v", f["certificates"])
		}
	}
	if list[0]["hurts_at"] != "2026-10-08T04:12:00Z" || list[1]["hurts_at"] != nil || list[1]["previous_address"] != "module.old.azurerm_dns_zone.z" || list[0]["previous_address"] != nil {
		t.Errorf("dates and addresses: %v", list)
	}
	b.Reset()
	if err := (Verdict{Class: Safe}).JSON(&b); err != nil || strings.Join(strings.Fields(b.String()), "") != `{"verdict":"safe","findings":[]}` {
		t.Errorf("%v, %s", err, b.String())
	}
	b.Reset()
	if err := hostileVerdict().JSON(&b); err != nil || strings.ContainsAny(b.String(), "\x1b\u202e\u200b") || !json.Valid(b.Bytes()) {
		t.Errorf("%v, %s", err, b.String())
	}
}

// TestSARIFHasWhatItMust holds the log against what the schema of SARIF 2.1.0 requires (sections 3.13 to 3.49), and what
// GitHub requires besides ("SARIF support for code scanning").
func TestSARIFHasWhatItMust(t *testing.T) {
	v, _ := shownVerdict().Override([]Override{{Fingerprint: "8899aabbccddeeff", By: "Ana", Reason: "known", Until: *onDate("2026-10-06T23:59:59Z")}}, shownOptions.Now)
	o := shownOptions
	o.Plan, o.Version = "infra/a plan.json", "1.2.3"
	var b bytes.Buffer
	if err := v.SARIF(&b, o); err != nil {
		t.Fatal(err)
	}
	var log struct {
		Version string
		Schema  string `json:"$schema"`
		Runs    []struct {
			Tool struct {
				Driver struct {
					Name  string
					Rules []struct {
						ID, HelpURI                             string
						ShortDescription, FullDescription, Help struct{ Text string }
						DefaultConfiguration                    struct{ Level string }
					}
				}
			}
			Invocations []struct{ ExecutionSuccessful *bool }
			Results     []struct {
				RuleID, Level string
				RuleIndex     *int
				Message       struct{ Text string }
				Locations     []struct {
					PhysicalLocation struct {
						ArtifactLocation struct{ URI string }
						Region           struct{ StartLine int }
					}
					LogicalLocations []struct{ FullyQualifiedName string }
				}
				PartialFingerprints map[string]string
				Suppressions        []struct{ Kind, Status, Justification string }
			}
		}
	}
	d := json.NewDecoder(&b)
	if err := d.Decode(&log); err != nil {
		t.Fatal(err)
	}
	if log.Version != "2.1.0" || !strings.HasPrefix(log.Schema, "https://") || len(log.Runs) != 1 {
		t.Fatalf("log %+v", log)
	}
	run := log.Runs[0]
	if run.Tool.Driver.Name != "notafter" || len(run.Invocations) != 1 || run.Invocations[0].ExecutionSuccessful == nil {
		t.Errorf("run %+v", run)
	}
	seen := map[string]bool{}
	for _, r := range run.Tool.Driver.Rules {
		if r.ID == "" || seen[r.ID] || r.ShortDescription.Text == "" || r.FullDescription.Text == "" || r.Help.Text == "" || len(r.FullDescription.Text) > 1024 || !strings.HasPrefix(r.HelpURI, "https://") ||
			!slices.Contains([]string{"none", "note", "warning", "error"}, r.DefaultConfiguration.Level) {
			t.Errorf("rule %+v", r)
		}
		seen[r.ID] = true
	}
	for _, c := range Classes() {
		if !seen["renewal/"+string(c)] {
			t.Errorf("no rule for the class %s", c)
		}
	}
	if len(run.Results) != 3 {
		t.Fatalf("%d results", len(run.Results))
	}
	for _, r := range run.Results {
		if r.RuleIndex == nil || run.Tool.Driver.Rules[*r.RuleIndex].ID != r.RuleID || r.Message.Text == "" || len(r.Locations) != 1 || r.Locations[0].PhysicalLocation.Region.StartLine != 1 ||
			r.Locations[0].PhysicalLocation.ArtifactLocation.URI != "infra/a%20plan.json" || r.PartialFingerprints["notafter/v1"] == "" {
			t.Errorf("result %+v", r)
		}
	}
	first, last := run.Results[0], run.Results[2]
	if first.Level != "error" || first.Locations[0].LogicalLocations[0].FullyQualifiedName != "azurerm_role_assignment.cm" || len(first.Suppressions) != 0 ||
		!strings.Contains(first.Message.Text, "First hurts on 8 Oct 2026 04:12 UTC.") || !strings.Contains(first.Message.Text, "moved {\n  from") {
		t.Errorf("first %+v", first)
	}
	if last.RuleID != "renewal/gap" || len(last.Suppressions) != 1 || last.Suppressions[0].Kind != "external" || last.Suppressions[0].Status != "accepted" || !strings.Contains(last.Suppressions[0].Justification, "Ana") {
		t.Errorf("overridden %+v", last)
	}
}

func TestEveryClassHasWords(t *testing.T) {
	titles := map[string]Class{}
	for _, c := range Classes() {
		w := wordsOf(c)
		if other, twice := titles[w.title]; twice || w.title == "" || w.help == "" {
			t.Errorf("%s has the words of %s: %+v", c, other, w)
		}
		titles[w.title] = c
	}
}

func TestRepairsAreToldFromProse(t *testing.T) {
	for in, want := range map[string]string{
		"Keep it.": "prose(Keep it.)",
		"Say so:\n\nmoved {\n  from = a\n}\n\nThen apply.": "prose(Say so:\n) code(moved {\n  from = a\n}) prose(Then apply.)",
		"a\n  indented\nb":    "prose(a) code(  indented) prose(b)",
		"x {\n y {\n }\n}\nz": "code(x {\n y {\n }\n}) prose(z)",
		"x {\nnever closed":   "code(x {\nnever closed)",
		"":                    "",
	} {
		var got []string
		for _, p := range pieces(in) {
			if p.code {
				got = append(got, "code("+p.text+")")
			} else {
				got = append(got, "prose("+p.text+")")
			}
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%q is %q, want %q", in, s, want)
		}
	}
}

// FuzzRender: whatever a plan holds, nothing of it acts on a terminal or becomes more than text in a comment.
func FuzzRender(f *testing.F) {
	f.Add(hostile, "moved {\n  from = a\n}")
	f.Add("``` `", "~~~\n@a\n~~~\n    code\n\tx {")
	f.Add("::error::x ##[error]y", "##vso[a]b\n ::a::b")
	f.Add("a`b`c www.x.y", "\r\n```\r\n")
	f.Fuzz(func(t *testing.T, a, b string) {
		v := Verdict{Class: Lost, Findings: []Finding{
			{Class: Lost, Address: a, Previous: &b, Principal: b, Permission: a, Scope: b, Certificates: []string{a, b}, Summary: a, Repair: b, Fingerprint: a},
			{Class: Gap, Address: b, Summary: b, Fingerprint: b, Overridden: &Override{Fingerprint: b, By: a, Reason: b}},
		}}
		var out bytes.Buffer
		if err := v.Text(&out, shownOptions); err != nil || strings.ContainsAny(out.String(), "\x1b\x00\r\u202e\u2028") {
			t.Errorf("text: %v, %q", err, out.String())
		}
		if got := commands.FindString(out.String()); got != "" {
			t.Errorf("text: %q is a command to a pipeline", got)
		}
		md := asMarkdown(t, v)
		if bad := tame(md); bad != "" {
			t.Errorf("markdown: %s of\n%s", bad, md)
		}
		for _, write := range []func(*bytes.Buffer) error{
			func(w *bytes.Buffer) error { return v.JSON(w) },
			func(w *bytes.Buffer) error { return v.SARIF(w, shownOptions) },
		} {
			out.Reset()
			if err := write(&out); err != nil || !json.Valid(out.Bytes()) {
				t.Errorf("%v: %q", err, out.String())
			}
		}
	})
}

// Each rule of a SARIF log leads to a heading of the guide.
func TestTheGuideHasEveryClass(t *testing.T) {
	guide, err := os.ReadFile(filepath.Join("..", "..", "docs", "guides", "guard.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range Classes() {
		if !strings.Contains(string(guide), "\n### "+string(c)+"\n") {
			t.Errorf("docs/guides/guard.md has no heading for %s", c)
		}
	}
}

// Every verdict about the corpus can be shown in every form, and the code in its repairs is shown as code.
func TestTheCorpusIsShown(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "corpus", "*", "*.json"))
	if err != nil || len(files) < 100 {
		t.Fatalf("%d plans, %v", len(files), err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Read(bytes.NewReader(raw), ReadOptions{})
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		v := Judge(p, Inventory{})
		md := asMarkdown(t, v)
		if bad := tame(md); bad != "" {
			t.Errorf("%s: %s", file, bad)
		}
		if outside := uncoded(md); strings.ContainsAny(outside, "{}=") {
			t.Errorf("%s: code outside of code: %s", file, outside)
		}
		if out := asText(t, v, shownOptions); (out == "") != (len(v.Findings) == 0) {
			t.Errorf("%s: shown %q", file, out)
		}
		for _, f := range v.Findings {
			if tidy(f.Summary) == "" || f.Class != Safe && tidy(f.Repair) == "" || f.Fingerprint == "" {
				t.Errorf("%s: nothing to say: %+v", file, f)
			}
		}
	}
}
