package iac

import (
	"maps"
	"slices"
	"strings"
)

// need is what an issuer wants of a secret.
type need struct {
	issuer string
	key    string
	// account is the key of the account at the authority, writes what a solver signs in with. only says that the issuer makes
	// no other key of an account by itself.
	account, writes, only bool
}

// needs are the secrets that the issuers of a side name, by name and namespace. A cluster issuer's secrets are in the
// namespace that cert-manager looks for them in, which a plan without its release does not say: "" is any.
func (s *State) needs() map[object][]need {
	return once(s, "needs", func() map[object][]need {
		out := map[object][]need{}
		for _, p := range s.papers() {
			for _, ns := range s.lookedIn(p) {
				secretRefs(dig(p.body, "spec"), "", false, 0, func(holder, name, key string, writes bool) {
					o := object{kind: "secret", namespace: ns, name: name}
					out[o] = append(out[o], need{issuer: p.object.String(), key: key, account: holder == "privateKeySecretRef", writes: writes, only: scalar(dig(p.body, "spec", "acme", "disableAccountKeyGeneration")) == "true"})
				})
				if name := scalar(dig(p.body, "spec", "ca", "secretName")); name != "" {
					o := object{kind: "secret", namespace: ns, name: name}
					out[o] = append(out[o], need{issuer: p.object.String(), key: "tls.key"})
				}
			}
		}
		return out
	})
}

// secretRefs visits what an issuer names of secrets: whatever is called a reference to one, as all solvers do, and those of
// webhooks in their own configuration too. writes says that it stands in a solver by DNS.
func secretRefs(v any, field string, writes bool, depth int, visit func(holder, name, key string, writes bool)) {
	if depth > maxYAMLDepth {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		if name := scalar(v["name"]); name != "" && strings.HasSuffix(strings.ToLower(field), "secretref") {
			visit(field, name, scalar(v["key"]), writes)
		}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			e := v[k]
			secretRefs(e, k, writes || k == "dns01", depth+1, visit)
		}
	case []any:
		for _, e := range v {
			secretRefs(e, field, writes, depth+1, visit)
		}
	}
}

// lookedIn are the namespaces in which cert-manager looks for the secrets of an issuer.
func (s *State) lookedIn(p paper) []string {
	if p.kind == "issuer" {
		return []string{p.namespace}
	}
	var out []string
	for _, r := range s.Of("helm_release") {
		if isRenewerChart(r) && chart(r) == "cert-manager" {
			ns := scalar(valuesOf(r).get("clusterResourceNamespace"))
			if ns == "" {
				ns = releaseObject(r).namespace
			}
			out = append(out, ns)
		}
	}
	if len(out) == 0 {
		return []string{""}
	}
	return out
}

// needed says what the issuers of either side want of a secret.
func (s *State) needed(o object) []need {
	var out []need
	for _, st := range s.sides() {
		out = append(out, st.needs()[o]...)
		out = append(out, st.needs()[object{kind: o.kind, name: o.name}]...)
	}
	return out
}

// secrets are the secrets that a side holds.
func (s *State) secrets() []object {
	return once(s, "secrets", func() []object {
		var out []object
		for _, r := range s.Resources {
			if o, ok := s.objectOf(r); ok && o.kind == "secret" {
				out = append(out, o)
			}
		}
		return out
	})
}

// kubernetesSecret reads a secret.
func kubernetesSecret(st *State, r *Side) []Tie {
	o, ok := metadata(r, "secret")
	if !ok {
		return nil
	}
	return st.secret(r, o, st.keysOf(r))
}

// keysOf are the keys that a secret holds; nil when nobody knows. A value that comes by reference makes the whole map
// unknown to the provider: then it is taken to hold the keys that it held before.
func (s *State) keysOf(r *Side) map[string]bool {
	keys := map[string]bool{}
	for _, attribute := range []string{"data", "binary_data"} {
		v, known := r.Get(attribute)
		m, _ := v.(map[string]any)
		for k := range m {
			keys[k] = true
		}
		u, _ := r.unknown.(map[string]any)
		single, _ := u[attribute].(map[string]any)
		for k := range single {
			keys[k] = true
		}
		if known {
			continue
		}
		b := s.counterpart(r)
		if b == nil {
			return nil
		}
		v, _ = b.Get(attribute)
		m, _ = v.(map[string]any)
		for k := range m {
			keys[k] = true
		}
	}
	return keys
}

// secret is the tie of a secret that the renewer reads. keys are those that it holds; nil when nobody knows.
func (s *State) secret(r *Side, o object, keys map[string]bool) []Tie {
	t := Tie{
		Kind: KindSecret, Principal: o.String(), Who: "the secret " + o.String(), Also: ids(o.name), Scope: s.cluster(r, o), At: "namespace " + o.namespace,
	}
	list := s.needed(o)
	switch {
	case len(list) > 0:
		t.Effect = list[0].effect()
		if !slices.ContainsFunc(list, func(n need) bool { return !n.account || n.only }) {
			t.Doubt = "the issuer " + list[0].issuer + " makes another key and registers that, and only limits of the authority or a CAA record with an accounturi may stand in its way"
		}
	case renewerSecret(o):
		t.Doubt = "it is called like a secret of a renewer, and no issuer in the plan names it"
	default:
		t.Idle = true
	}
	out := []Tie{t}
	if len(list) == 0 || !r.stays() || len(keys) == 0 {
		return out
	}
	var seen []string
	for _, n := range list {
		if n.key != "" && keys[n.key] && !slices.Contains(seen, n.key) {
			seen = append(seen, n.key)
			u := t
			u.Principal, u.Who, u.Effect = o.String()+" "+n.key, "the key "+n.key+" of the secret "+o.String(), n.effect()
			out = append(out, u)
		}
	}
	return out
}

// effect says what stops without the secret.
func (n need) effect() string {
	if n.account {
		effect := "the issuer " + n.issuer + " loses its account at the authority"
		if n.only {
			effect += ", and makes no other (disableAccountKeyGeneration)"
		}
		return effect
	}
	if !n.writes {
		return "the issuer " + n.issuer + " can no longer issue"
	}
	return "the issuer " + n.issuer + " can no longer sign in to write challenges"
}

// renewerSecret reports whether a secret is called like one that a renewer signs in with. Pairs of certificate and key are
// what comes of renewal, and not meant.
func renewerSecret(o object) bool {
	name := strings.ToLower(o.name)
	if strings.HasSuffix(name, "-tls") || strings.HasSuffix(name, "-ca") || strings.Contains(name, "external-dns") {
		return false
	}
	if renewerName(name) {
		return true
	}
	return renewerSpace(o.namespace) && slices.ContainsFunc([]string{"dns", "route53", "cloudflare", "account", "credentials", "token", "secret"}, func(n string) bool {
		return strings.Contains(name, n)
	})
}

// namespace reads a namespace.
func namespace(st *State, r *Side) []Tie {
	o, ok := metadata(r, "namespace")
	if !ok {
		return nil
	}
	return st.space(r, o)
}

// space is the tie of a namespace that holds a part of renewal, or that is called like it.
func (s *State) space(r *Side, o object) []Tie {
	holds := ""
	for _, st := range s.sides() {
		if what := once(st, "kubernetes namespaces", st.spaces)[o.name]; what != "" {
			holds = what
			break
		}
	}
	if holds == "" {
		if !renewerSpace(o.name) {
			return nil
		}
		holds = "whatever renews in it, as its name " + o.name + " says,"
	}
	return []Tie{{
		Kind: KindSolver, Principal: "namespace " + o.name, Who: "the namespace " + o.name, Scope: s.cluster(r, o),
		Effect: holds + " goes with it", Stale: "",
	}}
}

// spaces says what of renewal is in the namespaces of a side.
func (s *State) spaces() map[string]string {
	out := map[string]string{}
	for _, p := range s.papers() {
		if p.namespace != "" {
			out[p.namespace] = "the issuer " + p.name
		}
	}
	for o := range s.needs() {
		if what := "the secret " + o.name + " of an issuer"; o.namespace != "" && (out[o.namespace] == "" || strings.HasPrefix(out[o.namespace], "the secret ") && what < out[o.namespace]) {
			out[o.namespace] = what
		}
	}
	for _, r := range s.Of("helm_release") {
		if isRenewerChart(r) {
			o := releaseObject(r)
			out[o.namespace] = "cert-manager"
		}
	}
	return out
}

// pipelineSecret reads a secret or a variable of a pipeline. What a job does with it is not in a plan: only one that is
// called like a renewer's says something by itself.
func pipelineSecret(_ *State, r *Side) []Tie {
	name := r.Text("secret_name")
	if name == "" {
		name = r.Text("variable_name")
	}
	if name == "" {
		return nil
	}
	holder := r.Text("repository")
	if holder == "" {
		holder = "the organization"
	}
	if e := r.Text("environment"); e != "" {
		holder += " (environment " + e + ")"
	}
	t := Tie{
		Kind: KindSecret, Principal: name, Who: "the secret " + name + " of " + holder, Scope: Path{"github", strings.ToLower(holder)}, At: holder,
		Idle: !renewerName(name), ID: r.Text("id"),
	}
	if strings.HasSuffix(r.Change.Type, "_variable") {
		t.Who = "the variable " + name + " of " + holder
	}
	if !t.Idle {
		t.Doubt = "whether a job renews certificates with it is not in the plan"
	}
	return []Tie{t}
}
