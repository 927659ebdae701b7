package iac

import (
	"fmt"
	"slices"
	"strings"
)

// The blocks that say what becomes of a state came one after the other: `moved` with Terraform 1.1, `import` with 1.5 and
// `removed` with 1.7; OpenTofu knows `lifecycle` within the last from 1.10 on. For older ones there are commands.
// https://developer.hashicorp.com/terraform/language/block/removed
// https://opentofu.org/docs/language/resources/syntax/#removing-resources

// since reports whether the program that made the plan is at least the minor version 1.terraform, or 1.tofu of OpenTofu.
// Where the plan does not say, it is taken for a new one.
func (j *judge) since(c *Change, terraform, tofu int) bool {
	want := terraform
	if tool(c) == "tofu" {
		want = tofu
	}
	v := semantic.FindStringSubmatch(j.plan.Tool)
	return v == nil || number(v[1]) > 1 || number(v[1]) == 1 && number(v[2]) >= want
}

// tool is the program's name on the command line: the two have a registry of their own each.
func tool(c *Change) string {
	if strings.HasPrefix(c.Provider, "registry.opentofu.org/") {
		return "tofu"
	}
	return "terraform"
}

// removed takes a resource out of the state and lets the object live. The block names a whole resource, and the language
// takes no keys there: one of several is taken out by a command, before the next plan.
func (j *judge) removed(c *Change) string {
	if strings.Contains(c.Address, "[") || !j.since(c, 7, 10) {
		return "  " + tool(c) + " state rm " + quoted(c.Was())
	}
	return removed(c.Address)
}

// removed is the block for a resource without a key.
func removed(address string) string {
	return "removed {\n  from = " + address + "\n  lifecycle {\n    destroy = false\n  }\n}"
}

// moved says that what c was is what d is, at an address. A module that is called otherwise moves as a whole.
func (j *judge) moved(c, d *Change, to string) string {
	from := c.Was()
	if c.Reason == "delete_because_no_module" && to == d.Address && c.Previous == "" && c.Module != "" && d.Module != "" &&
		strings.TrimPrefix(c.Address, c.Module) == strings.TrimPrefix(d.Address, d.Module) {
		from, to = c.Module, d.Module
		// What lies in both below the one that is called otherwise stays as it is: segments are pairs of "module" and a name.
		a, b := segments(from), segments(to)
		for len(a) > 2 && len(b) > 2 && slices.Equal(a[len(a)-2:], b[len(b)-2:]) {
			a, b = a[:len(a)-2], b[:len(b)-2]
		}
		from, to = strings.Join(a, "."), strings.Join(b, ".")
	}
	if !j.since(c, 1, 0) {
		return "  " + tool(c) + " state mv " + quoted(from) + " " + quoted(to)
	}
	return fmt.Sprintf("moved {\n  from = %s\n  to   = %s\n}", from, to)
}

// imported takes an object into a state.
func (j *judge) imported(c *Change, id string) string {
	if !j.since(c, 5, 0) {
		return "  " + tool(c) + " import " + quoted(c.Address) + " " + quoted(id)
	}
	return "import {\n  to = " + c.Address + "\n  id = " + quote(id) + "\n}"
}

// importID is how an object is named that has no id of its own in its cloud; "ID" where nobody can tell from the plan.
// https://registry.terraform.io/providers/hashicorp/helm/latest/docs/resources/release#import
// https://registry.terraform.io/providers/gavinbunney/kubectl/latest/docs/resources/kubectl_manifest#import
func importID(c *Change) string {
	r := &Side{Change: c, Values: c.Before}
	switch c.Type {
	case "helm_release":
		if name := r.Text("name"); name != "" {
			return orElse(r.Text("namespace"), "default") + "/" + name
		}
	case "kubectl_manifest":
		p := paperOf(r)
		version, kind, name, ns := scalar(p.body["apiVersion"]), scalar(p.body["kind"]), scalar(dig(p.body, "metadata", "name")), scalar(dig(p.body, "metadata", "namespace"))
		if version != "" && kind != "" && name != "" {
			return strings.TrimSuffix(strings.Join([]string{version, kind, name, ns}, "//"), "//")
		}
	}
	return "ID"
}

// quoted is a text as one word for a shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// listed is how whoever loses a grant is named in the list that takes it away, and which list that is.
func listed(t, taker *Tie) string {
	r := taker.From
	switch {
	case r.Change.Type == "aws_iam_policy_attachment":
		kind, name := "roles", t.Principal[strings.LastIndexAny(t.Principal, "/:")+1:]
		for _, k := range []string{"user", "group"} {
			if strings.Contains(t.Principal, ":"+k+"/") {
				kind = k + "s"
			}
		}
		return quote(name) + " to the " + kind
	case strings.HasPrefix(r.Change.Type, "google_"):
		for _, m := range append(t.From.Texts("members"), t.From.Text("member")) {
			if has([]string{m}, t.Principal) {
				return quote(m) + " to the members"
			}
		}
	}
	return orElse(t.Principal, "the renewer") + " to the members"
}
