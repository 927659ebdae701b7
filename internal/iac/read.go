package iac

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"regexp"
	"slices"
	"strings"
)

// ReadOptions bound what is read. The zero value is what the product uses.
type ReadOptions struct {
	// MaxResource is how many bytes one resource that matters may have (default 8 MiB).
	MaxResource int
	// MaxTotal is how much memory all that is kept of the plan may take, roughly, in bytes (default 256 MiB).
	MaxTotal int
}

const (
	defaultMaxResource = 8 << 20
	defaultMaxTotal    = 256 << 20
)

// showHint is what to do when something else came in.
const showHint = "write the plan to a file with -out=plan.tfplan and give what `terraform show -json plan.tfplan` or `tofu show -json plan.tfplan` prints"

// Read reads a plan, to the end. It holds one buffer of the input, the resource at hand, and what it keeps. Every error
// is a [*ReadError].
//
// The whole input is checked to be JSON. What is kept must also have the shape that the format promises; what belongs
// to no resource that matters need not. A byte order mark is passed over, and UTF-16 is understood.
//
// Source of the format: internal/command/jsonplan, jsonconfig and jsonstate of hashicorp/terraform and opentofu/opentofu.
func Read(r io.Reader, o ReadOptions) (*Plan, error) {
	if o.MaxResource <= 0 {
		o.MaxResource = defaultMaxResource
	}
	if o.MaxTotal <= 0 {
		o.MaxTotal = defaultMaxTotal
	}
	sum := sha256.New()
	text, passed, err := textOf(&digested{r, sum})
	if err != nil {
		return nil, err
	}
	in := &intake{s: newScan(text, passed), o: o, p: &Plan{}, left: o.MaxTotal, top: map[string]bool{}, refers: map[string]map[string][]string{}}
	if err := in.read(); err != nil {
		return nil, err
	}
	sum.Sum(in.p.Digest[:0])
	return in.p, nil
}

// digested hashes what is read.
type digested struct {
	r   io.Reader
	sum hash.Hash
}

func (d *digested) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	_, _ = d.sum.Write(p[:n])
	return n, err
}

// textOf looks at the first bytes, and returns the input as UTF-8 from behind the byte order mark, which has passed bytes.
func textOf(r io.Reader) (text io.Reader, passed int64, err error) {
	head := make([]byte, 4)
	n := 0
	for empty := 0; n < len(head) && err == nil && empty < maxEmpty; empty++ {
		var m int
		m, err = r.Read(head[n:])
		n += m
	}
	head = head[:n]
	if err != nil && err != io.EOF {
		return nil, 0, &ReadError{Offset: int64(n), Text: "reading the plan", Err: err}
	}
	from := func(mark int) io.Reader { return io.MultiReader(bytes.NewReader(head[mark:]), r) }
	utf16 := func(order binary.ByteOrder, mark int) (io.Reader, int64, error) {
		return &wide{r: from(mark), order: order, raw: make([]byte, bufferSize), done: int64(mark)}, 0, nil
	}
	starts := func(s string) bool { return strings.HasPrefix(string(head), s) }
	switch {
	case n == 0:
		return nil, 0, empty()
	case starts("\xef\xbb\xbf"):
		return from(3), 3, nil
	case starts("\xff\xfe"):
		return utf16(binary.LittleEndian, 2)
	case starts("\xfe\xff"):
		return utf16(binary.BigEndian, 2)
	case starts("{\x00"):
		return utf16(binary.LittleEndian, 0)
	case starts("\x00{"):
		return utf16(binary.BigEndian, 0)
	case starts("PK"):
		return nil, 0, &ReadError{Offset: -1, Text: "this is the plan file itself, not its JSON", Hint: "give what `terraform show -json FILE` or `tofu show -json FILE` prints of it"}
	case starts("\x1f\x8b"):
		return nil, 0, &ReadError{Offset: -1, Text: "this is compressed", Hint: "unpack it with gzip -d first"}
	}
	return from(0), 0, nil
}

func empty() error {
	return &ReadError{Offset: -1, Text: "nothing came in", Hint: "see whether the command that writes the plan failed; otherwise " + showHint}
}

// intake is the reading of one plan.
type intake struct {
	s    *scan
	o    ReadOptions
	p    *Plan
	left int // bytes that may still be kept
	d    decoder
	e    element
	top  map[string]bool // members of the plan that came

	partial  bool     // the plan says that it is not complete
	deferred int      // how many changes are deferred
	late     []string // addresses of those that would matter
	held     []string // addresses in the state, of resources that matter
	// refers is what the configuration refers to: by address without indexes, by attribute.
	refers map[string]map[string][]string
}

// members that tell a plan, if no other does.
var planMembers = []string{"resource_changes", "planned_values", "configuration", "prior_state", "output_changes", "resource_drift"}

func (in *intake) read() error {
	c, err := in.s.next()
	if err != nil {
		if in.s.err == io.EOF {
			return empty()
		}
		return err
	}
	if at := in.s.offset(); c == '[' && in.s.word("[command]") == nil {
		return &ReadError{
			Offset: at, Text: "this is not a plan: it begins with what the wrapper that hashicorp/setup-terraform puts in the place of terraform adds",
			Hint: "set terraform_wrapper: false there, or call terraform-bin",
		}
	}
	if c != '{' {
		return &ReadError{Offset: in.s.offset(), Text: "this is not a plan: it begins with " + shownByte(c), Hint: showHint + "; if there is a warning before the JSON, mend what it warns of"}
	}
	if err := in.s.object(in.member); err != nil {
		return err
	}
	if err := in.s.finish(); err != nil {
		return err
	}
	if err := in.isPlan(); err != nil {
		return err
	}
	in.conclude()
	return nil
}

// isPlan looks at which members came.
func (in *intake) isPlan() error {
	other := ""
	switch {
	case slices.ContainsFunc(planMembers, func(m string) bool { return in.top[m] }):
		if in.top["format_version"] {
			return nil
		}
		other = "it has no format_version"
	case in.top["values"]:
		other = "it is the JSON of a state"
	case in.top["lineage"]:
		other = "it is a state file"
	case in.top["provider_schemas"]:
		other = "it is the schemas of providers"
	default:
		other = "it holds nothing of one"
	}
	return &ReadError{Offset: -1, Text: "this is not a plan: " + other, Hint: showHint}
}

// member reads one member of the plan.
func (in *intake) member(name []byte) error {
	s := in.s
	key := ""
	switch string(name) {
	case "format_version", "terraform_version", "resource_changes", "resource_drift", "deferred_changes", "prior_state", "configuration",
		"errored", "complete", "applyable":
		key = string(name)
		if in.top[key] {
			return s.wrong("comes twice")
		}
		in.top[key] = true
	case "planned_values", "output_changes", "values", "lineage", "provider_schemas":
		in.top[string(name)] = true
	case "@level", "@message":
		return &ReadError{Offset: -1, Text: "this is not a plan: it is the log that `plan -json` prints, which holds no values", Hint: showHint}
	}
	switch key {
	case "format_version":
		return in.format()
	case "terraform_version":
		return in.word(&in.p.Tool)
	case "resource_changes":
		return s.list(func() error { return in.change(&in.p.Changes, true) })
	case "resource_drift":
		return s.list(func() error { return in.change(&in.p.Drift, false) })
	case "deferred_changes":
		return s.list(in.later)
	case "prior_state":
		return in.state()
	case "configuration":
		return in.configuration()
	case "errored":
		return in.flag(&in.p.Errored)
	case "complete":
		complete := true
		err := in.flag(&complete)
		in.partial = !complete
		return err
	case "applyable":
		var ignored bool
		return in.flag(&ignored)
	}
	return s.skip()
}

var version = regexp.MustCompile(`^[0-9]{1,9}(\.[0-9]{1,9})*$`)

func (in *intake) format() error {
	if err := in.word(&in.p.Format); err != nil {
		return err
	}
	at := &ReadError{Offset: in.s.offset(), Path: in.s.where()}
	major, _, _ := strings.Cut(in.p.Format, ".")
	switch {
	case !version.MatchString(in.p.Format):
		at.Text, at.Hint = fmt.Sprintf("%q is not a version", shown(in.p.Format)), showHint
	case major == "0":
		at.Text, at.Hint = "format "+in.p.Format+" is not understood, only 1.x is", "Terraform writes format 1 since 1.1: use a newer one"
	case major != "1":
		at.Text, at.Hint = "format "+in.p.Format+" is not understood, only 1.x is", "see whether a newer notafter understands it"
	default:
		return nil
	}
	return at
}

// word reads a string that is kept.
func (in *intake) word(into *string) error {
	s := in.s
	c, err := s.next()
	if err != nil {
		return err
	}
	if c != '"' {
		return s.wrong("is not a string")
	}
	raw, fits, err := s.grab(nil, maxName)
	if err != nil {
		return err
	}
	if !fits {
		return s.wrong("is longer than versions are")
	}
	*into = strings.ToValidUTF8(string(unquote(raw)), "\uFFFD")
	return nil
}

// flag reads a boolean; null leaves it as it is.
func (in *intake) flag(into *bool) error {
	s := in.s
	c, err := s.next()
	if err != nil {
		return err
	}
	switch c {
	case 't':
		*into = true
	case 'f':
		*into = false
	case 'n':
	default:
		return s.wrong("is not a boolean")
	}
	return s.skip()
}

// keep counts what is kept.
func (in *intake) keep(n int) error {
	if in.left -= n; in.left < 0 {
		return &ReadError{Offset: in.s.offset(), Path: in.s.where(), Text: fmt.Sprintf("what renewal may rest on of this plan takes more than %d bytes of memory", in.o.MaxTotal), Hint: "divide the configuration"}
	}
	return nil
}

// conclude joins what the members of the plan say, whose order is not given.
func (in *intake) conclude() {
	for i := range in.p.Changes {
		c := &in.p.Changes[i]
		c.Refers = in.refers[bare(c.Address)]
	}
	// An errored plan is not complete, whatever else it is.
	if in.partial && !in.p.Errored {
		in.p.Incomplete = append(in.p.Incomplete, "the plan says itself that it is not complete: it was made with -target, or something in it is deferred")
	}
	if in.deferred > 0 {
		said := fmt.Sprintf("%d changes are deferred", in.deferred)
		if in.deferred == 1 {
			said = "1 change is deferred"
		}
		if len(in.late) > 0 {
			said += ", that of " + some(in.late) + " too"
		}
		in.p.Incomplete = append(in.p.Incomplete, said)
	}
	if missing := in.missing(); len(missing) > 0 {
		said := "the state holds " + some(missing) + ", of which the plan says nothing"
		if !in.p.Errored {
			said += ": it was made with -target or -exclude"
		}
		in.p.Incomplete = append(in.p.Incomplete, said)
	}
}

// some names the first few addresses.
func some(all []string) string {
	most := min(len(all), 3)
	out := make([]string, most)
	for i, a := range all[:most] {
		out[i] = shown(a)
	}
	if len(all) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(out, ", "), len(all)-most)
	}
	return strings.Join(out, ", ")
}
