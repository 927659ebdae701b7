package iac

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// awsDocument is a policy document of IAM, of whichever kind: identity policy, trust policy, boundary, service control policy.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
type awsDocument []awsStatement

// awsStatement is one statement. Actions and resources are patterns with * and ?, in lower case: neither an action nor the
// id of a hosted zone is told apart from another one by case alone.
type awsStatement struct {
	deny        bool
	actions     []string
	notAction   bool
	resources   []string
	notResource bool
	principals  []awsPrincipal // of a trust policy
	notPrincip  bool
	conditions  []awsCondition
}

// awsPrincipal is whom a trust policy lets in: kind is "aws", "federated", "service", or "*" for everybody.
type awsPrincipal struct{ kind, id string }

// awsCondition is one operator on one key.
type awsCondition struct {
	op     string // "stringequals", "forallvalues:stringlike", "ipaddressifexists"
	key    string // in lower case
	values []string
}

// Bounds of a policy document. IAM's own limits are 10,240 characters without white space, and fewer; indented text may be
// longer.
const (
	awsLimit   = 256 << 10
	awsCompact = 32 << 10
)

// readPolicy reads a policy document. It reports false for what is none: nothing is then known of what it allows.
func readPolicy(text string) (awsDocument, bool) {
	if text == "" || len(text) > awsLimit {
		return nil, false
	}
	var compact bytes.Buffer
	if json.Compact(&compact, []byte(text)) != nil || compact.Len() > awsCompact {
		return nil, false
	}
	var top struct{ Statement json.RawMessage }
	if json.Unmarshal(compact.Bytes(), &top) != nil {
		return nil, false
	}
	type statement struct {
		Effect                  string
		Action, NotAction       any
		Resource, NotResource   any
		Principal, NotPrincipal any
		Condition               map[string]map[string]any
	}
	var list []statement
	if json.Unmarshal(top.Statement, &list) != nil {
		var one statement
		if json.Unmarshal(top.Statement, &one) != nil {
			return nil, false
		}
		list = []statement{one}
	}
	out := make(awsDocument, 0, len(list))
	for _, s := range list {
		st := awsStatement{actions: awsTexts(s.Action), resources: awsTexts(s.Resource)}
		switch lower(s.Effect) {
		case "allow":
		case "deny":
			st.deny = true
		default:
			return nil, false
		}
		if s.NotAction != nil {
			st.actions, st.notAction = awsTexts(s.NotAction), true
		}
		if s.NotResource != nil {
			st.resources, st.notResource = awsTexts(s.NotResource), true
		}
		st.principals = awsPrincipals(s.Principal)
		if s.NotPrincipal != nil {
			st.principals, st.notPrincip = awsPrincipals(s.NotPrincipal), true
		}
		for op, keys := range s.Condition {
			for key, v := range keys {
				c := awsCondition{op: lower(op), key: lower(key), values: awsValues(v)}
				slices.Sort(c.values)
				c.values = slices.Compact(c.values)
				st.conditions = append(st.conditions, c)
			}
		}
		slices.SortFunc(st.conditions, func(a, b awsCondition) int { return strings.Compare(a.String(), b.String()) })
		out = append(out, st)
	}
	return out, true
}

// awsTexts returns the strings of a value that may be one or a list, in lower case.
func awsTexts(v any) []string {
	out := awsValues(v)
	for i := range out {
		out[i] = lower(out[i])
	}
	return out
}

func awsValues(v any) []string {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var out []string
	for _, e := range list {
		switch e := e.(type) {
		case string:
			out = append(out, e)
		case bool:
			out = append(out, text(e))
		case float64:
			raw, _ := json.Marshal(e)
			out = append(out, string(raw))
		}
	}
	return out
}

func awsPrincipals(v any) []awsPrincipal {
	var out []awsPrincipal
	switch v := v.(type) {
	case string:
		if v == "*" {
			out = append(out, awsPrincipal{"*", "*"})
		}
	case map[string]any:
		for kind, ids := range v {
			for _, id := range awsValues(ids) {
				k := lower(kind)
				if id == "*" && k == "aws" {
					k = "*"
				}
				out = append(out, awsPrincipal{k, id})
			}
		}
	}
	slices.SortFunc(out, func(a, b awsPrincipal) int { return strings.Compare(a.kind+a.id, b.kind+b.id) })
	return out
}

// does reports whether the statement speaks of an action, given in lower case; plain is false when it names no action of
// that service, but everything ("*", NotAction).
func (s *awsStatement) does(action string) (hit, plain bool) {
	service, _, _ := strings.Cut(action, ":")
	for _, p := range s.actions {
		if glob(p, action) {
			if s.notAction {
				return false, false
			}
			hit = true
			plain = plain || strings.HasPrefix(p, service+":")
		}
	}
	return hit != s.notAction, plain
}

// at reports whether the statement speaks of a resource, given in lower case.
func (s *awsStatement) at(resource string) bool {
	for _, p := range s.resources {
		if glob(p, resource) {
			return !s.notResource
		}
	}
	return s.notResource
}

// operator is the operator without what qualifies it.
func (c *awsCondition) operator() string {
	op := strings.TrimPrefix(strings.TrimPrefix(c.op, "forallvalues:"), "foranyvalue:")
	return strings.TrimSuffix(op, "ifexists")
}

// positive operators are those where more values allow more.
func (c *awsCondition) positive() bool {
	switch c.operator() {
	case "stringequals", "stringequalsignorecase", "stringlike", "arnequals", "arnlike", "ipaddress", "numericequals", "dateequals":
		return true
	}
	return false
}

// String is the normal form: equal conditions are equal texts.
func (c awsCondition) String() string {
	return c.key + " " + c.op + " " + strings.Join(c.values, ", ")
}

// implies reports whether whoever meets c meets d.
func (c *awsCondition) implies(d *awsCondition) bool {
	if c.op != d.op || c.key != d.key {
		return false
	}
	if !c.positive() {
		return slices.Equal(c.values, d.values)
	}
	for _, v := range c.values {
		if !slices.Contains(d.values, v) && !(strings.HasSuffix(d.operator(), "like") && slices.ContainsFunc(d.values, func(p string) bool { return glob(lower(p), lower(v)) })) {
			return false
		}
	}
	return true
}

// glob matches a pattern with * (any text) and ? (any one character). Longer ones than any ARN match nothing.
func glob(pattern, s string) bool {
	if len(pattern) > 4096 || len(s) > 4096 {
		return false
	}
	p, i, star, mark := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
