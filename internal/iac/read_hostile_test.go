package iac

import (
	"bytes"
	"errors"
	"io"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestReadSaysWhatElseItWasGiven(t *testing.T) {
	t.Parallel()
	const show = "`terraform show -json plan.tfplan`"
	for name, c := range map[string]struct{ text, said, hint string }{
		"nothing":                    {"", "nothing came in", "failed"},
		"white space":                {" \r\n", "nothing came in", "failed"},
		"only a byte order mark":     {"\uFEFF", "nothing came in", "failed"},
		"a plan file":                {"PK\x03\x04\x14", "the plan file itself, not its JSON", "show -json FILE"},
		"a compressed plan":          {"\x1f\x8b\x08\x00", "compressed", "gzip -d"},
		"what plan prints":           {"\nTerraform will perform", "it begins with 'T'", show},
		"a warning before a plan":    {"\nWarning: Unable to open", "it begins with 'W'", "if there is a warning before the JSON"},
		"what plan prints in colour": {"\x1b[1mTerraform will", `it begins with '\x1b'`, show},
		"a list":                     {"[]", "it begins with '['", show},
		"what a wrapper adds":        {"[command]/opt/hostedtoolcache/terraform-bin show -json plan.tfplan\n{", "the wrapper that hashicorp/setup-terraform", "terraform_wrapper: false"},
		"bytes":                      {"\x80\x81", "it begins with the byte 0x80", show},
		"the log of plan -json":      {`{"@level":"info","@message":"Terraform 1.13.5"}` + "\n" + `{"@level":"info"}`, "the log that `plan -json` prints", show},
		"the JSON of a state":        {`{"format_version":"1.0","terraform_version":"1.13.5","values":{"root_module":{"resources":[]}}}`, "the JSON of a state", show},
		"an empty state":             {`{"format_version":"1.0"}`, "holds nothing of one", show},
		"a state file":               {`{"version":4,"serial":7,"lineage":"x","resources":[]}`, "a state file", show},
		"schemas":                    {`{"format_version":"1.0","provider_schemas":{}}`, "schemas of providers", show},
		"no format version":          {`{"resource_changes":[]}`, "has no format_version", show},
		"an empty object":            {`{}`, "holds nothing of one", show},
		"the next major":             {`{"format_version":"2.0","resource_changes":7}`, "format 2.0 is not understood, only 1.x is", "newer notafter"},
		"a major that only looks so": {`{"format_version":"10.1"}`, "format 10.1 is not understood", "newer notafter"},
		"before there was a major":   {`{"format_version":"0.2"}`, "format 0.2 is not understood", "Terraform"},
		"no version":                 {`{"format_version":"one"}`, `"one" is not a version`, show},
		"a number for a version":     {`{"format_version":1.2}`, "is not a string (in format_version, at byte 18)", ""},
		"a version without an end":   {`{"format_version":"` + strings.Repeat("1", 5000) + `"}`, "longer than versions are", ""},
	} {
		err := refused(t, name, strings.NewReader(c.text))
		if !strings.Contains(err.Error(), c.said) || !strings.Contains(err.Error(), c.hint) {
			t.Errorf("%s: %v; want %q and %q", name, err, c.said, c.hint)
		}
	}
}

// refused reads what cannot be read as a plan.
func refused(t *testing.T, name string, r io.Reader) *ReadError {
	t.Helper()
	p, err := Read(r, ReadOptions{MaxResource: 1 << 20})
	var why *ReadError
	if !errors.As(err, &why) || p != nil {
		t.Fatalf("%s: read %+v, %v", name, p, err)
	}
	return why
}

func TestReadSaysWhatIsWrongWithAPlan(t *testing.T) {
	t.Parallel()
	grant := func(change string) string { return changesOf(grantOf("cm", change)) }
	const in = " (in resource_changes[0]"
	for name, c := range map[string]struct{ text, said string }{
		"not JSON in a resource":      {grant(`{"actions":["delete"],"before":{"a":tru}}`), `read plan: azurerm_role_assignment.cm: this is not valid JSON: '}' where true is expected (in resource_changes[0].change.before, at byte 223)`},
		"not JSON elsewhere":          {planOf(`"planned_values":{"a":[1,]}`), "']' where a value is expected (in planned_values, at byte 78)"},
		"a comma too many":            {planOf(`"complete":true,`), "'}' where the name of a member is expected"},
		"a comma too few":             {planOf(`"complete":true "errored":true`), `'"' where a comma or the end of the object is expected`},
		"no colon":                    {planOf(`"x" 1`), "'1' where a colon is expected"},
		"brackets crossed":            {planOf(`"x":[{]}`), "']' where the name of a member is expected"},
		"a bare word":                 {planOf(`"x":NaN`), "'N' where a value is expected"},
		"a number as nobody writes":   {planOf(`"x":01`), "'1' where a comma or the end of the object is expected"},
		"half a number":               {planOf(`"x":1.`), "'}' where a digit is expected"},
		"a line break in a string":    {planOf("\"x\":\"a\nb\""), `a control character ('\n') in a string`},
		"an escape that is none":      {planOf(`"x":"\x41"`), "'x' after a backslash"},
		"half an escape":              {planOf(`"x":"\u12"`), `'"' where \u wants four hexadecimal digits`},
		"text after it":               {planOf(`"complete":true`, `"resource_changes":[]`) + "\n{}", "'{' after the end of the plan"},
		"a byte after it":             {planOf(`"complete":true`, `"resource_changes":[]`) + "\x00", `'\x00' after the end of the plan`},
		"two lists of changes":        {planOf(`"resource_changes":[]`, `"resource_changes":[]`), "comes twice (in resource_changes"},
		"changes that are no list":    {planOf(`"resource_changes":{}`), "is not a list (in resource_changes"},
		"a change that is no object":  {changesOf(`[]`), "is not an object" + in},
		"a null for a change":         {changesOf(`null`), "is not an object" + in},
		"errored with a word":         {planOf(`"errored":"no"`), "is not a boolean (in errored"},
		"a state that is no object":   {planOf(`"prior_state":[]`), "is not an object (in prior_state"},
		"actions in a string":         {grant(`{"actions":"delete","before":{}}`), "azurerm_role_assignment.cm: change.actions is not a list of actions" + in + ".change.actions"},
		"actions in numbers":          {grant(`{"actions":[1],"before":{}}`), "azurerm_role_assignment.cm: change.actions is not a list of actions"},
		"no actions":                  {grant(`{"before":{}}`), "azurerm_role_assignment.cm: change does not say what is done"},
		"no change":                   {changesOf(`{"address":"azurerm_role_assignment.cm","mode":"managed","type":"azurerm_role_assignment"}`), "azurerm_role_assignment.cm: change does not say what is done"},
		"a change in a string":        {grant(`"delete"`), "azurerm_role_assignment.cm: change is not an object"},
		"before a number":             {grant(`{"actions":["delete"],"before":7}`), "azurerm_role_assignment.cm: change.before is neither an object nor null" + in + ".change.before"},
		"after a list":                {grant(`{"actions":["create"],"after":[]}`), "azurerm_role_assignment.cm: change.after is neither an object nor null"},
		"unknown in words":            {grant(`{"actions":["create"],"after":{},"after_unknown":{"a":"yes"}}`), "azurerm_role_assignment.cm: change.after_unknown holds something else than booleans"},
		"nothing that is destroyed":   {grant(`{"actions":["delete"],"before":null}`), "azurerm_role_assignment.cm: change.before is null, though there is something that delete is done to"},
		"nothing that is forgotten":   {grant(`{"actions":["forget"]}`), "change.before is null, though"},
		"nothing that is made":        {grant(`{"actions":["delete","create"],"before":{},"after":null}`), "change.after is null, though delete+create leaves something"},
		"an attribute twice":          {grant(`{"actions":["delete"],"before":{"tags":[{"a":1,"\u0061":2}]}}`), "change.before.tags[0].a comes twice" + in + ".change.before.tags[0].a)"},
		"before twice":                {grant(`{"actions":["delete"],"before":{"a":1},"before":{}}`), "azurerm_role_assignment.cm: change.before comes twice"},
		"a type twice":                {changesOf(`{"type":"azurerm_role_assignment","address":"a.b","mode":"managed","type":"a"}`), "a.b: type comes twice"},
		"a type twice, after a body":  {changesOf(`{"change":"x","type":"azurerm_role_assignment","address":"a.b","mode":"managed","type":"a"}`), "a.b: type comes twice"},
		"bytes in a value":            {grant("{\"actions\":[\"delete\"],\"before\":{\"a\":\"\xff\"}}"), "azurerm_role_assignment.cm: change.before.a is not valid UTF-8"},
		"bytes in a name":             {grant("{\"actions\":[\"delete\"],\"before\":{\"\xff\":1}}"), "change.before is not valid UTF-8"},
		"bytes in a type":             {changesOf("{\"type\":\"\xff\",\"address\":\"a.b\",\"mode\":\"managed\"}"), "a.b: type is not valid UTF-8"},
		"no type":                     {changesOf(`{"mode":"managed","address":"a.b"}`), "a.b: this has no type" + in},
		"a null for a type":           {changesOf(`{"mode":"managed","address":"a.b","type":null}`), "a.b: this has no type"},
		"a type in a list":            {changesOf(`{"mode":"managed","address":"a.b","type":["azurerm_role_assignment"]}`), "a.b: type is not a string"},
		"no mode":                     {changesOf(`{"type":"azurerm_role_assignment","address":"a.b"}`), "a.b: this has no mode"},
		"no address":                  {changesOf(`{"type":"azurerm_role_assignment","mode":"managed"}`), "this has no address"},
		"a terminal's orders":         {changesOf(`{"mode":"managed","address":"a\u001b[2J\n` + strings.Repeat("b", 500) + `"}`), "a\uFFFD[2J\uFFFDbbb"},
		"expressions twice":           {planOf(`"configuration":{"root_module":{"resources":[{"address":"azurerm_dns_zone.z","mode":"managed","type":"azurerm_dns_zone","expressions":{"a":1,"a":2}}]}}`), "azurerm_dns_zone.z: expressions.a comes twice (in configuration.root_module.resources[0].expressions.a)"},
		"a list too deep":             {planOf(`"x":` + strings.Repeat("[", 2000)), "nested more than 1000 levels deep (in x, at byte 1056)"},
		"an object too deep":          {grant(`{"actions":["delete"],"before":` + strings.Repeat(`{"a":`, 2000)), "nested more than 1000 levels deep (in resource_changes[0].change.before"},
		"modules too deep":            {planOf(`"prior_state":{"values":{"root_module":` + strings.Repeat(`{"child_modules":[`, 2000)), "nested more than 1000 levels deep"},
		"a resource of its own size":  {grant(`{"actions":["delete"],"before":{"a":"` + strings.Repeat("x", 1<<20) + `"}}`), "azurerm_role_assignment.cm: this has more than 1048576 bytes, too many for a resource that renewal may rest on" + in},
		"such a one, said afterwards": {changesOf(`{"change":{"before":{"a":"` + strings.Repeat("x", 1<<20) + `"},"actions":["delete"]},"type":"azurerm_dns_zone","mode":"managed","address":"azurerm_dns_zone.z"}`), "azurerm_dns_zone.z: this has more than 1048576 bytes"},
		"an address without an end":   {changesOf(`{"mode":"managed","type":"a","address":"` + strings.Repeat("x", 1<<20) + `"}`), "address is longer than 65536 bytes"},
	} {
		err := refused(t, name, strings.NewReader(c.text))
		if !strings.Contains(err.Error(), c.said) || len(err.Error()) > 1000 {
			t.Errorf("%s: %v\nwant %q", name, err, c.said)
		}
	}
}

// What is wrong with a resource that nothing rests on does not stop the guard, as long as it is JSON.
func TestReadBearsWhatMeansNothing(t *testing.T) {
	t.Parallel()
	machine := func(change string) string {
		return `{"change":` + change + `,"address":"azurerm_linux_virtual_machine.a","mode":"managed","type":"azurerm_linux_virtual_machine"}`
	}
	p, err := Read(strings.NewReader(changesOf(
		machine(`{"actions":["update"],"before":{"a":"`+strings.Repeat("x", 2<<20)+`"},"after":7,"after_unknown":"x"}`),
		machine(`{"actions":"update","actions":7}`), machine(`"update"`),
		machine("{\"actions\":[\"no-op\"],\"before\":{\"a\":\"\xff\",\"a\":1}}"),
		grantOf("cm", deletion),
	)), ReadOptions{MaxResource: 1 << 20})
	if err != nil || p.Seen != 5 || p.Changing != 4 || len(p.Changes) != 1 {
		t.Errorf("read: %+v, %v", p, err)
	}
}

func TestReadBoundsAllThatItKeeps(t *testing.T) {
	t.Parallel()
	text := changesOf(slices.Repeat([]string{grantOf("cm", deletion)}, 100)...)
	if _, err := Read(strings.NewReader(text), ReadOptions{MaxTotal: 5000}); err == nil || !strings.Contains(err.Error(), "takes more than 5000 bytes of memory") {
		t.Errorf("read: %v", err)
	}
	if _, err := Read(strings.NewReader(text), ReadOptions{MaxTotal: 200_000}); err != nil {
		t.Error(err)
	}
	// Two bytes of JSON can become a map.
	for _, many := range []string{`{}`, `[]`, `""`, `1`, `{"a":{}}`} {
		text := changesOf(grantOf("cm", `{"actions":["delete"],"before":{"a":[`+strings.Repeat(many+",", 10_000)+`null]}}`))
		if _, err := Read(strings.NewReader(text), ReadOptions{MaxTotal: 100_000}); err == nil || !strings.Contains(err.Error(), "of memory") {
			t.Errorf("%s: %v", many, err)
		}
	}
	for member, element := range map[string]string{
		`"prior_state":{"values":{"root_module":{"resources":[|]}}}`: `{"address":"azurerm_dns_zone.z","mode":"managed","type":"azurerm_dns_zone"}`,
		`"configuration":{"root_module":{"resources":[|]}}`:          `{"address":"azurerm_dns_zone.z","mode":"managed","type":"azurerm_dns_zone","expressions":{"a":{"references":["b.c"]}}}`,
		`"deferred_changes":[|]`:                                     `{"resource_change":{"address":"azurerm_dns_zone.z","mode":"managed","type":"azurerm_dns_zone"}}`,
	} {
		text := planOf(strings.Replace(member, "|", strings.Join(slices.Repeat([]string{element}, 1000), ","), 1))
		if _, err := Read(strings.NewReader(text), ReadOptions{MaxTotal: 10_000}); err == nil || !strings.Contains(err.Error(), "of memory") {
			t.Errorf("%s: %v", member, err)
		}
	}
}

// A plan that is cut off is none, wherever it is cut.
func TestReadRefusesEveryPartOfAPlan(t *testing.T) {
	t.Parallel()
	text := planOf(`"resource_changes":[`+seedChange+`,`+grantOf("b", `{"actions":["update"],"before":{"a":[-1.5e3,true,null,"\u00e9"]},"after":{}}`)+`]`,
		`"prior_state":{"values":{"root_module":{"resources":[]}}}`, `"configuration":{"root_module":{}}`, `"planned_values":{}`, `"errored":false`)
	mustRead(t, text)
	for n := 1; n < len(text); n++ {
		err := refused(t, text[:n], strings.NewReader(text[:n]))
		if !errors.Is(err, io.ErrUnexpectedEOF) || err.Offset != int64(n) || !strings.Contains(err.Error(), "the plan is cut off") {
			t.Fatalf("%s: %v", text[:n], err)
		}
	}
}

func TestReadPassesOnWhatTheReaderSays(t *testing.T) {
	t.Parallel()
	text := changesOf(seedChange)
	broken := errors.New("broken pipe")
	for n := range len(text) {
		err := refused(t, text[:n], io.MultiReader(strings.NewReader(text[:n]), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) || errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
	// All of it came, and yet it is not known whether that was all.
	if err := refused(t, "at the end", io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("at the end: %v", err)
	}
	if err := refused(t, "nothing ever", io.MultiReader(strings.NewReader(text[:9]), idleReader{})); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a reader that gives nothing: %v", err)
	}
}

type idleReader struct{}

func (idleReader) Read([]byte) (int, error) { return 0, nil }

// No error holds a value: plans have secrets in clear text.
func TestReadErrorsHoldNoValue(t *testing.T) {
	t.Parallel()
	text := changesOf(grantOf("cm", `{"actions":["delete"],"before":{"password":"hunter2hunter2","list":["hunter2hunter2"]},"after":null}`))
	for i := strings.Index(text, `"before"`); i < len(text); i++ {
		for _, c := range []byte{'"', '}', 'x', 0xff, 0} {
			raw := []byte(text)
			raw[i] = c
			if _, err := Read(bytes.NewReader(raw), ReadOptions{}); err != nil && strings.Contains(err.Error(), "hunter") {
				t.Fatalf("%s\n%v", raw, err)
			}
		}
	}
}

// long is text with something in its middle that comes over and over again.
func long(head, again string, size int64, tail string) io.Reader {
	return io.MultiReader(strings.NewReader(head), io.LimitReader(&endless{text: bytes.Repeat([]byte(again), max(1, 1<<20/len(again)))}, size/int64(len(again))*int64(len(again))), strings.NewReader(tail))
}

type endless struct {
	text []byte
	at   int
}

func (r *endless) Read(p []byte) (int, error) {
	n := copy(p, r.text[r.at:])
	r.at = (r.at + n) % len(r.text)
	return n, nil
}

// What has no end neither fills the memory nor takes long. The string has 1 GB, the rest 8 MB; or a quarter of that, when
// it is to be short, or under the race detector, which makes all of it many times as slow.
func TestReadOfWhatHasNoEnd(t *testing.T) {
	gigabyte, much := int64(1<<30), int64(8<<20)
	if testing.Short() || raced() {
		gigabyte, much = gigabyte/4, much/4
		t.Logf("a string of %d MB instead of 1 GB", gigabyte>>20)
	}
	head, tail, ok := strings.Cut(changesOf(grantOf("cm", `{"actions":["delete"],"before":{"a":"`+"|"+`"}}`)), "|")
	if !ok {
		t.Fatal("no middle")
	}
	strange := strings.NewReplacer("azurerm_role_assignment", "azurerm_linux_virtual_machine")
	for _, c := range []struct {
		name string
		r    io.Reader
		said string // empty: it is read
	}{
		{"a string that means nothing", long(`{"format_version":"1.2","resource_changes":[],"planned_values":"`, "x", gigabyte, `"}`), ""},
		{"a string in a resource that means nothing", long(strange.Replace(head), "é\\n", much, tail), ""},
		{"a string in a resource that matters", long(head, "x", much, tail), "azurerm_role_assignment.cm: this has more than"},
		{"white space", long(`{"format_version":`, " \n", much, "x"), "is not a string"},
		{"the name of a member", long(`{"`, "x", much, `":1}`), "holds nothing of one"},
		{"a number", long(`{"format_version":"1.2","resource_changes":[],"x":1`, "0", much, `}`), ""},
		{"a version", long(`{"format_version":"`, "1", much, `"}`), "longer than versions are"},
		{"an address", long(`{"format_version":"1.2","resource_changes":[{"address":"`, "x", much, `"}]}`), "address is longer than"},
		{"an action", long(`{"format_version":"1.2","resource_changes":[{"change":{"actions":["`, "x", much, `"]},"address":"a.b","mode":"managed","type":"a"}]}`), ""},
		{"actions", long(`{"format_version":"1.2","resource_changes":[{"change":{"actions":["a"`, `,"b"`, much, `]},"address":"a.b","mode":"managed","type":"a"}]}`), ""},
		{"a list", long(`{"format_version":"1.2","resource_changes":[],"x":[1`, ",[]", much, "]}"), ""},
		{"lists within lists", long(`{"format_version":"1.2","x":`, "[", much, ""), "nested more than 1000 levels deep"},
		{"objects within objects", long(`{"format_version":"1.2","x":`, `{"a":`, much, ""), "nested more than 1000 levels deep"},
		{"members", long(`{"format_version":"1.2","resource_changes":[]`, `,"x":1`, much, "}"), ""},
		{"changes that mean nothing", long(`{"format_version":"1.2","resource_changes":[{"address":"a.b","mode":"managed","type":"a"}`, `,{"address":"a.b","mode":"managed","type":"a"}`, much, "]}"), ""},
		{"deferred changes", long(`{"format_version":"1.2","resource_changes":[],"deferred_changes":[{}`, `,{}`, much, "]}"), ""},
		{"UTF-16", long("{\x00", " \x00", much, "}\x00"), "holds nothing of one"},
		{"white space before all", long("", "\n", much, ""), "nothing came in"},
		{"white space after all", long(changesOf(), "\n", much, ""), ""},
	} {
		start := time.Now()
		w := &watched{r: c.r, samples: []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}}
		metrics.Read(w.samples)
		before := w.samples[0].Value.Uint64() + w.samples[1].Value.Uint64()
		_, err := Read(w, ReadOptions{MaxResource: 1 << 20})
		if took := time.Since(start); took > time.Minute {
			t.Errorf("%s: took %v", c.name, took)
		}
		if used := int64(w.peak) - int64(before); used > 16<<20 {
			t.Errorf("%s: took %d bytes of memory", c.name, used)
		}
		if c.said == "" && err != nil || c.said != "" && (err == nil || !strings.Contains(err.Error(), c.said)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.said)
		}
		t.Logf("%-45s %v", c.name, time.Since(start))
	}
}

// raced reports whether the race detector is on.
func raced() bool {
	info, _ := debug.ReadBuildInfo()
	return info != nil && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
