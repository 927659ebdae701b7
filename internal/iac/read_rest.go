package iac

import (
	"slices"
	"strings"
)

// later reads an element of deferred_changes.
func (in *intake) later() error {
	in.deferred++
	s := in.s
	return s.object(func(name []byte) error {
		if string(name) != "resource_change" {
			return s.skip()
		}
		e, err := in.element(true, func(*element) error { return s.skip() })
		if err != nil {
			return err
		}
		if string(e.word(fMode)) == "managed" && Matters(e.get(fType)) {
			in.late = append(in.late, e.get(fAddress))
			return in.keep(sizeValue + len(e.text))
		}
		return nil
	})
}

// state reads prior_state, for nothing but what is in it: a plan that was made with -target does not speak of all of
// it, and OpenTofu has no other mark for such a plan.
func (in *intake) state() error {
	s := in.s
	var module func(name []byte) error
	module = func(name []byte) error {
		switch string(name) {
		case "resources":
			return s.list(in.kept)
		case "child_modules":
			return s.list(func() error { return s.object(module) })
		}
		return s.skip()
	}
	return s.object(func(name []byte) error {
		if string(name) != "values" {
			return s.skip()
		}
		return s.object(func(name []byte) error {
			if string(name) != "root_module" {
				return s.skip()
			}
			return s.object(module)
		})
	})
}

// kept reads a resource of the state.
func (in *intake) kept() error {
	e, err := in.element(true, func(*element) error { return in.s.skip() })
	if err != nil {
		return err
	}
	if string(e.word(fMode)) != "managed" || !Matters(e.get(fType)) {
		return nil
	}
	in.held = append(in.held, heldAs(e.get(fAddress), e.get(fDeposed)))
	return in.keep(sizeValue + len(e.text))
}

// heldAs tells an object from those that are left over from replacements at the same address.
func heldAs(address, deposed string) string {
	if deposed == "" {
		return address
	}
	return address + " (deposed " + deposed + ")"
}

// missing returns what the state holds and no change speaks of. A plan without any change was made with -refresh-only,
// or with a -target that is nowhere: it does nothing to anything, and nothing is missing.
func (in *intake) missing() (out []string) {
	if in.p.Seen == 0 && !in.p.Errored {
		return nil
	}
	spoken := map[string]bool{}
	for i := range in.p.Changes {
		c := &in.p.Changes[i]
		spoken[heldAs(c.Address, c.Deposed)] = true
		spoken[heldAs(c.Was(), c.Deposed)] = true
	}
	for _, a := range in.late {
		spoken[a] = true
	}
	for _, a := range in.held {
		if !spoken[a] {
			out = append(out, a)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// configuration reads what the expressions of resources that matter refer to.
func (in *intake) configuration() error {
	s := in.s
	return s.object(func(name []byte) error {
		if string(name) != "root_module" {
			return s.skip()
		}
		return in.module("")
	})
}

// module reads a module of the configuration; at is where it is: "module.dns.", empty at the root.
func (in *intake) module(at string) error {
	s := in.s
	return s.object(func(name []byte) error {
		switch string(name) {
		case "resources":
			return s.list(func() error { return in.block(at) })
		case "module_calls":
			return s.object(func(name []byte) error {
				within := at + "module." + string(name) + "."
				return s.object(func(name []byte) error {
					if string(name) != "module" {
						return s.skip()
					}
					return in.module(within)
				})
			})
		}
		return s.skip()
	})
}

// block reads a resource of the configuration.
func (in *intake) block(at string) error {
	s := in.s
	e, err := in.element(false, func(e *element) error {
		if e.foreign() {
			return s.skip()
		}
		raw, fits, err := s.grab(e.raw, in.o.MaxResource)
		e.raw, e.over = raw, !fits
		return err
	})
	if err != nil || e.foreign() || string(e.word(fMode)) != "managed" || len(e.raw) == 0 {
		return err
	}
	before := in.left
	v, err := in.decode(e, ".expressions", e.raw)
	if err != nil {
		return err
	}
	in.left = before // only the references are kept
	out := map[string][]string{}
	refers(out, "", v)
	if len(out) == 0 {
		return nil
	}
	n := sizeMap + len(e.text)
	for k, v := range out {
		n += sizeGroup + len(k)
		for _, r := range v {
			n += sizeValue + len(r)
		}
	}
	in.refers[at+e.get(fAddress)] = out
	return in.keep(n)
}

// refers collects references: those of the attribute of a nested block under "block.attribute", those of all blocks of
// a name together.
func refers(out map[string][]string, name string, v any) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			refers(out, name, e)
		}
	case map[string]any:
		if list, ok := v["references"].([]any); ok && name != "" && len(list) > 0 {
			if _, ok := list[0].(string); ok {
				for _, r := range list {
					if t, ok := r.(string); ok {
						out[name] = append(out[name], t)
					}
				}
				return
			}
		}
		for k, e := range v {
			if name != "" {
				k = name + "." + k
			}
			refers(out, k, e)
		}
	}
}

// bare is an address without the indexes of its instances: `module.a["x"].b.c[0]` is the instance of "module.a.b.c".
func bare(address string) string {
	if !strings.Contains(address, "[") {
		return address
	}
	var b strings.Builder
	in, quoted := false, false
	for i := 0; i < len(address); i++ {
		c := address[i]
		switch {
		case quoted && c == '\\':
			i++
		case quoted:
			quoted = c != '"'
		case in:
			quoted, in = c == '"', c != ']'
		case c == '[':
			in = true
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
