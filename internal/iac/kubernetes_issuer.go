package iac

import (
	"cmp"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// paper is a manifest: what it is, and what it says.
type paper struct {
	object
	group string // "cert-manager.io"
	body  map[string]any
	// vague says that not all of it is known, blank that nothing is of what the object is for.
	vague, blank bool
}

// document reads the manifest of a resource. One whose text is not known before the apply has the name that it had.
func (s *State) document(r *Side) paper {
	return once(s, "manifest "+r.Change.Address+" "+r.Change.Deposed, func() paper {
		p := paperOf(r)
		if p.name == "" && r.After && p.vague && r.Change.Before != nil {
			was := paperOf(&Side{Change: r.Change, Values: r.Change.Before})
			p.object, p.group = was.object, was.group
		}
		return p
	})
}

// worthReading is what a manifest has in it that means anything to renewal, before it is parsed: clusters have thousands
// of manifests, and most are somebody else's.
var worthReading = regexp.MustCompile(`(?m)cert-?manager|^[ {]*"?kind"?[ \t]*:[ \t]*["']?(?:Secret|Namespace|ServiceAccount|ExternalSecret|SealedSecret)\b`)

func paperOf(r *Side) paper {
	var p paper
	if r.Change.Type == "kubectl_manifest" {
		if body := r.Text("yaml_body"); body == "" || worthReading.MatchString(body) {
			m, err := documentOf(body)
			p.body, p.vague = m, err != nil || !r.Known("yaml_body")
			p.blank = !r.Known("yaml_body")
		}
		if ns := r.Text("override_namespace"); ns != "" {
			p.namespace = ns
		}
	} else {
		v, known := r.Get("manifest")
		if v == nil && known {
			v, known = r.Get("object")
		}
		p.body, _ = v.(map[string]any)
		_, spec := r.Get("manifest", "spec")
		p.blank = !known || !spec || !r.Known("manifest", "spec", "secretName")
		p.vague = !known || !r.Known("manifest", "spec") || !r.Known("manifest", "metadata") || !r.Known("manifest", "kind")
	}
	p.kind = strings.ToLower(scalar(dig(p.body, "kind")))
	p.group, _, _ = strings.Cut(scalar(dig(p.body, "apiVersion")), "/")
	p.name = scalar(dig(p.body, "metadata", "name"))
	if p.namespace == "" {
		p.namespace = scalar(dig(p.body, "metadata", "namespace"))
	}
	switch p.kind {
	case "clusterissuer", "namespace":
		p.namespace = ""
	default:
		p.namespace = cmp.Or(p.namespace, "default")
	}
	return p
}

// manifest reads what a manifest makes in a cluster: an issuer, a certificate, or what else has a resource of its own.
func manifest(st *State, r *Side) []Tie {
	p := st.document(r)
	if p.name == "" {
		return nil
	}
	switch p.kind {
	case "clusterissuer", "issuer":
		if p.group == "cert-manager.io" || p.group == "certmanager.k8s.io" {
			return st.issuer(r, p)
		}
	case "certificate":
		if p.group == "cert-manager.io" || p.group == "certmanager.k8s.io" {
			return st.certificate(r, p)
		}
	case "secret":
		return st.secret(r, p.object, nil)
	case "namespace":
		return st.space(r, p.object)
	case "serviceaccount":
		doubt := ""
		if p.vague {
			doubt = "its annotations are known only after the apply"
		}
		return st.account(r, p.object, identity(dig(p.body, "metadata", "annotations")), doubt)
	case "helmrelease", "application", "helmchart":
		return st.delivered(r, p)
	case "deployment":
		return st.deployed(r, p.object, scalar(dig(p.body, "spec", "replicas")), p.vague)
	case "customresourcedefinition":
		return st.definition(r, p)
	case "externalsecret", "sealedsecret":
		// Another program makes the secret from it, and takes it back with it.
		o := object{kind: "secret", namespace: p.namespace, name: cmp.Or(scalar(dig(p.body, "spec", "target", "name")), p.name)}
		return st.secret(r, o, nil)
	}
	return nil
}

// issuer reads an issuer: that it is there, and on a change what of it still works.
func (s *State) issuer(r *Side, p paper) []Tie {
	who := "the issuer " + p.object.String()
	if p.kind == "clusterissuer" {
		who = "the cluster issuer " + p.name
	}
	t := Tie{
		Kind: KindSolver, Principal: p.kind + " " + p.object.String(), Who: who, Also: ids(p.name), Scope: s.cluster(r, p.object),
		Effect: "no certificate that names it is renewed", Idle: staging(p.server()), Permission: p.sort(),
	}
	if p.namespace != "" {
		t.At = "namespace " + p.namespace
	}
	out := []Tie{t}
	q := s.counterpart(r)
	if q == nil {
		return out
	}
	if !s.After {
		return append(out, s.gone(who, t, p, s.other.document(q))...)
	}
	was := s.other.document(q)
	if len(s.gone(who, t, was, p)) > 0 {
		return out // the side before says it
	}
	if doubt := s.changed(was, p); doubt != "" {
		out[0].Doubt, out[0].Permission = doubt, p.sort()+" (changed)"
	}
	return out
}

// gone are the parts of an issuer that serve nobody after a change, whatever takes their place.
func (s *State) gone(who string, t Tie, was, is paper) []Tie {
	part := func(what, effect, repair string) Tie {
		u := t
		u.Principal, u.Who, u.Effect, u.Repair = t.Principal+": "+what, what+" of "+who, effect, repair
		return u
	}
	if is.vague {
		return nil
	}
	if !staging(was.server()) && staging(is.server()) {
		return []Tie{part("the server "+was.server(), "what it issues from then on comes from a staging authority ("+is.server()+"), which no client trusts", "Leave spec.acme.server as it was, and give the staging authority an issuer of its own.")}
	}
	var out []Tie
	for _, a := range was.solvers() {
		if !slices.ContainsFunc(is.solvers(), func(b solver) bool { return b.selector == a.selector || b.selector == "" }) {
			out = append(out, part("the solver "+a.String(), "no challenge for "+cmp.Or(a.selector, "its names")+" is solved any more", "Keep the solver, or let another one of the issuer select the same names."))
		}
	}
	return out
}

// changed says what nobody can tell about a change of an issuer; empty when it is harmless.
func (s *State) changed(was, is paper) string {
	switch {
	case is.vague:
		return "what it says is known only after the apply"
	case was.sort() != is.sort():
		return "it is of the sort " + is.sort() + " then and no longer " + was.sort()
	case was.server() != is.server() && !staging(was.server()):
		return "it orders from " + is.server() + " then and no longer from " + was.server() + ", and the plan does not show that the account, the limits and the CAA records fit"
	}
	for _, a := range was.solvers() {
		var by *solver
		for _, b := range is.solvers() {
			if b.selector == a.selector {
				by = &b
				break
			}
		}
		switch {
		case by == nil:
			return "its solver " + a.String() + " goes, and whether another one serves the same names is not in the plan"
		case !s.fits(a, *by) && a.differs(*by) != "":
			return a.differs(*by) + ", and the plan does not show that this works"
		case !s.fits(a, *by):
			return "it solves by " + by.String() + " then and no longer by " + a.String() + ", and the plan does not show that this works"
		}
	}
	return ""
}

// fits reports whether a solver that takes another's place is as good: what differs is another identity that may write,
// or another secret that is there.
func (s *State) fits(a, b solver) bool {
	for key := range b.leaves {
		if _, ok := a.leaves[key]; !ok {
			return false
		}
	}
	for key, was := range a.leaves {
		is, ok := b.leaves[key]
		switch {
		case ok && is == was:
		case !ok, is == "":
			return false
		case strings.HasSuffix(strings.ToLower(key), "secretref.name"):
			if !slices.ContainsFunc(s.secrets(), func(o object) bool { return o.name == is }) {
				return false
			}
		case slices.Contains([]string{"managedIdentity.clientID", "role", "auth.kubernetes.serviceAccountRef.name"}, key[strings.Index(key, ".")+1:]):
			if !s.may(is) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// sort is the way in which an issuer issues: "acme", "ca", "selfSigned", "vault".
func (p paper) sort() string {
	for _, k := range []string{"acme", "ca", "selfSigned", "vault", "venafi"} {
		if dig(p.body, "spec", k) != nil {
			return k
		}
	}
	return ""
}

func (p paper) server() string { return scalar(dig(p.body, "spec", "acme", "server")) }

// staging reports whether a directory is one for trying things out, by the usual names.
func staging(server string) bool {
	u, err := url.Parse(server)
	if err != nil {
		return false
	}
	s := strings.ToLower(u.Host + u.Path)
	return strings.Contains(s, "staging") || strings.Contains(s, "-stg") || strings.Contains(s, ".test-")
}

// solver is one way of an issuer to answer challenges.
type solver struct {
	selector, provider string
	// leaves are what it says, by the way to it, without what does not decide whether it works.
	leaves map[string]string
}

// solverFields are those that tell solvers of one provider apart, and may be shown.
var solverFields = []string{"clientID", "role", "hostedZoneName", "hostedZoneID", "project", "solverName"}

// differs says in what a solver is another one than before, where the provider is the same and all that changes may be
// shown. Empty: in more than that.
func (v solver) differs(is solver) string {
	if v.provider != is.provider {
		return ""
	}
	var out []string
	keys := maps.Clone(v.leaves)
	maps.Copy(keys, is.leaves)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		was, now := v.leaves[k], is.leaves[k]
		field := k[strings.LastIndex(k, ".")+1:]
		switch {
		case was == now:
		case was == "" || now == "" || !slices.Contains(solverFields, field):
			return ""
		default:
			out = append(out, "its "+field+" is "+now+" then, and was "+was)
		}
	}
	return strings.Join(out, ", ")
}

func (v solver) String() string {
	s := v.provider
	if v.selector != "" {
		s += " for " + v.selector
	}
	for _, field := range solverFields {
		for _, k := range slices.Sorted(maps.Keys(v.leaves)) {
			if l := v.leaves[k]; strings.HasSuffix(k, "."+field) && (v.selector == "" || !strings.HasPrefix(field, "hostedZone")) {
				s += " (" + field + " " + l + ")"
			}
		}
	}
	return s
}

// maxSolvers bounds the solvers that are read of one issuer.
const maxSolvers = 200

func (p paper) solvers() []solver {
	list, _ := dig(p.body, "spec", "acme", "solvers").([]any)
	var out []solver
	for _, e := range list[:min(len(list), maxSolvers)] {
		v := solver{leaves: map[string]string{}}
		var names []string
		leaves(dig(e, "selector"), nil, func(path []string, text string) {
			if path[0] == "matchLabels" {
				text = path[len(path)-1] + "=" + text
			}
			names = append(names, text)
		})
		slices.Sort(names)
		v.selector = strings.Join(names, ", ")
		for _, challenge := range []string{"dns01", "http01"} {
			m, _ := dig(e, challenge).(map[string]any)
			for provider := range m {
				v.provider = max(v.provider, challenge+" "+provider)
			}
			leaves(m, nil, func(path []string, text string) {
				if !slices.Contains(path, "podTemplate") && !slices.Contains(path, "serviceType") {
					key := strings.Join(path, ".")
					if _, more := v.leaves[key]; more {
						text = v.leaves[key] + " " + text
					}
					v.leaves[key] = text
				}
			})
		}
		out = append(out, v)
	}
	return out
}

// certificate reads a certificate that cert-manager renews. Who takes it away may want exactly that, so that nobody can
// tell, unless something that stays still serves its secret.
func (s *State) certificate(r *Side, p paper) []Tie {
	secret := scalar(dig(p.body, "spec", "secretName"))
	if !p.blank && s.retired(p.namespace, secret) {
		return nil
	}
	names, _ := dig(p.body, "spec", "dnsNames").([]any)
	var also []string
	for _, n := range names[:min(len(names), 100)] {
		also = append(also, scalar(n))
	}
	t := Tie{
		Kind: KindSolver, Principal: "certificate " + p.object.String(), Who: "the Certificate " + p.object.String(), Also: ids(append(also, p.name)...),
		Scope: s.cluster(r, p.object), At: "namespace " + p.namespace, Effect: "nobody renews what the secret " + secret + " holds",
		Doubt: "whether anything goes on serving the secret " + secret + " is not in the plan",
	}
	if s.served(p.namespace, secret) {
		t.Doubt = ""
	}
	if p.blank {
		t.Unknown = []Part{PartContent}
	}
	return []Tie{t}
}

// retired reports whether the plan takes away who serves a secret, or the whole namespace: then nobody misses it.
func (s *State) retired(namespace, secret string) bool {
	before := s.ordered()[0]
	for _, kind := range []string{"kubernetes_namespace_v1", "kubernetes_namespace"} {
		for _, r := range before.Of(kind) {
			if r.Change.Destroys() && !r.Change.Makes() && r.Text("metadata", "name") == namespace {
				return true
			}
		}
	}
	return before.serves(namespace, secret) && !s.served(namespace, secret)
}

// served reports whether an ingress that is there after the plan names a secret for TLS.
func (s *State) served(namespace, secret string) bool {
	return s.ordered()[len(s.sides())-1].serves(namespace, secret)
}

// serves is served for this side.
func (s *State) serves(namespace, secret string) bool {
	for _, kind := range []string{"kubernetes_ingress_v1", "kubernetes_ingress"} {
		for _, r := range s.Of(kind) {
			if cmp.Or(r.Text("metadata", "namespace"), "default") != namespace {
				continue
			}
			for i := range r.Len("spec", "tls") {
				if r.Text("spec", "tls", i, "secret_name") == secret && secret != "" {
					return true
				}
			}
		}
	}
	return false
}

// http01 reports whether an issuer of the plan answers challenges by HTTP, on either side.
func (s *State) http01() bool {
	for _, st := range s.sides() {
		if once(st, "http-01", func() bool {
			return slices.ContainsFunc(st.papers(), func(p paper) bool {
				return slices.ContainsFunc(p.solvers(), func(v solver) bool { return strings.HasPrefix(v.provider, "http01") })
			})
		}) {
			return true
		}
	}
	return false
}

// papers are the issuers of a side.
func (s *State) papers() []paper {
	return once(s, "issuers", func() []paper {
		var out []paper
		for _, kind := range []string{"kubernetes_manifest", "kubectl_manifest"} {
			for _, r := range s.Of(kind) {
				if p := s.document(r); p.kind == "issuer" || p.kind == "clusterissuer" {
					out = append(out, p)
				}
			}
		}
		return out
	})
}
