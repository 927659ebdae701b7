package iac

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// chart is the name of a release's chart, without its repository, its version and the suffix of a package.
func chart(r *Side) string {
	c := r.Text("chart")
	c = strings.TrimSuffix(strings.ToLower(last(strings.TrimRight(c, "/"))), ".tgz")
	if i := strings.LastIndex(c, "-v"); i > 0 && strings.ContainsAny(c[i+2:min(i+3, len(c))], "0123456789") {
		c = c[:i]
	}
	return c
}

// helper says what stops without a program that cert-manager needs beside it, by the chart's usual name: one that writes to
// a provider's DNS, or one that approves requests. Empty: it is none.
func helper(chart string) string {
	switch {
	case strings.HasPrefix(chart, "cert-manager-webhook-"):
		return "cert-manager can no longer write challenges through it"
	case chart == "cert-manager-approver-policy":
		return "nobody approves requests for certificates any more, unless cert-manager is told to do so itself"
	}
	return ""
}

// isRenewerChart reports whether a release is cert-manager or a program that it needs beside it.
func isRenewerChart(r *Side) bool {
	c := chart(r)
	return c == "cert-manager" || helper(c) != "" ||
		r.Text("name") == "cert-manager" && (c == "" || strings.HasSuffix(c, "cert-manager"))
}

// controllers are the charts of programs by which challenges by HTTP come into a cluster.
var controllers = []string{"ingress-nginx", "nginx-ingress", "traefik", "haproxy-ingress", "kubernetes-ingress", "contour", "gateway-helm", "kong", "ingress"}

// makesIssuers reports whether a release makes issuers: it is called like that, or has manifests of some among its values.
func makesIssuers(r *Side) bool {
	for _, n := range []string{chart(r), strings.ToLower(r.Text("name"))} {
		if strings.Contains(n, "issuer") && (renewerSpace(n) || strings.Contains(n, "cluster")) {
			return true
		}
	}
	return slices.ContainsFunc(r.Texts("values"), func(v string) bool {
		return len(v) <= maxYAML && strings.Contains(v, "cert-manager.io/v1") && issuerKind.MatchString(v)
	})
}

var issuerKind = regexp.MustCompile(`(?m)^[ {-]*"?kind"?[ \t]*:[ \t]*["']?(?:Cluster)?Issuer\b`)

func releaseObject(r *Side) object {
	o := object{kind: "release", namespace: r.Text("namespace"), name: r.Text("name")}
	if o.namespace == "" {
		o.namespace = "default"
	}
	if c := chart(r); helper(c) != "" {
		o.name = c
	}
	return o
}

// helmRelease reads cert-manager's release. Values: cert-manager's chart (deploy/charts/cert-manager/values.yaml).
func helmRelease(st *State, r *Side) []Tie {
	o := releaseObject(r)
	if !isRenewerChart(r) {
		if slices.Contains(controllers, chart(r)) {
			t := st.door(r, "the ingress controller", o.String())
			t[0].Scope = st.cluster(r, o)
			return t
		}
		if !makesIssuers(r) {
			return nil
		}
		o.kind = "issuers"
		return []Tie{{
			Kind: KindSolver, Principal: "issuers of release " + o.String(), Who: "the set of issuers of the release " + o.String(), Scope: st.cluster(r, o),
			At: "namespace " + o.namespace, Effect: "no certificate that names one of them is renewed",
		}}
	}
	v := valuesOf(r)
	name, known := r.Text("name"), r.Known("name") && r.Known("namespace")
	t := st.renewer(r, o, o.namespace, fmt.Sprintf("release %s in namespace %s", name, o.namespace))
	t.Permission = chartVersion(r)
	if !known {
		t.Unknown = []Part{PartScope}
	}
	if c := chart(r); helper(c) != "" {
		t.Principal, t.Who, t.Effect = c, fmt.Sprintf("%s (release %s in namespace %s)", c, name, o.namespace), helper(c)
		return []Tie{t}
	}
	keeps := v.crds()
	if keeps == crdsGo {
		t.Effect = "no certificate of the cluster is renewed; the chart's CRDs go too, and every Certificate and issuer with them"
	}
	if a := st.counterpart(r); a != nil && !st.After && scalar(valuesOf(a).get("replicaCount")) == "0" {
		t.Effect = "its controller runs no longer (replicaCount = 0), and " + t.Effect
		t.Repair = "Leave replicaCount of " + r.Address() + " at 1 or more."
	}
	if b := st.counterpart(r); b != nil && st.After {
		t.Doubt = leap(chartVersion(b), chartVersion(r))
	}
	out := []Tie{t}
	if scalar(v.get("replicaCount")) == "0" {
		out = nil
	}
	if r.stays() && keeps != crdsNone {
		out = append(out, Tie{
			Kind: KindSolver, Principal: "the set of cert-manager's CRDs", Who: "the set of cert-manager's CRDs", Scope: t.Scope,
			Effect: "every Certificate and issuer of the cluster is deleted with them", Repair: "Set crds.keep = true, apply that, and only then let the release go without its CRDs.",
		})
	} else if b := st.counterpart(r); b != nil && st.After && (valuesOf(b).crds() != crdsGo || v.vague) {
		out = append(out, Tie{Kind: KindSolver, Principal: "the set of cert-manager's CRDs", Scope: t.Scope}) // kept by Helm, or never there
	}
	return append(out, st.releaseAccount(r, o, v)...)
}

// releaseAccount is what cert-manager's pods sign in as. A release that goes for good takes that with it, and is said once.
func (s *State) releaseAccount(r *Side, o object, v values) []Tie {
	next := s.successor(r)
	if !s.After && next == nil {
		return nil
	}
	a := accountOf(r, v)
	id, doubt := identity(v.get("serviceAccount", "annotations")), ""
	if v.vague {
		doubt = "its values are known only after the apply"
	}
	if scalar(v.get("serviceAccount", "create")) == "false" && id == "" && doubt == "" || id == "" && doubt == "" && !s.subject(a) {
		return nil // another resource makes it and says what it is, or it is nobody in a cloud
	}
	if b := s.counterpart(r); b != nil && s.After && id == "" && doubt == "" && accountOf(b, valuesOf(b)) == a {
		var lost bool
		if lost, doubt = s.bare(a, s.other.identityOf(b)); lost {
			return nil
		}
	}
	t := s.workload(r, a, id, doubt)
	t.Scope = s.cluster(r, o)
	out := []Tie{t}
	same := true
	if !s.After {
		w := valuesOf(next)
		if w.vague {
			out[0].Repair = "" // nothing is taken away that anybody could keep
		}
		same = w.vague || identity(w.get("serviceAccount", "annotations")) != "" // else that says it all
		if b := accountOf(next, w); b != a && !w.vague {
			same = false
			lost, _ := s.other.bare(b, id)
			if s.other.trusts(b) && (!lost || identity(w.get("serviceAccount", "annotations")) != "" || scalar(w.get("serviceAccount", "create")) == "false") {
				return nil // it runs as another one then, which is trusted
			}
			out[0].Effect = "cert-manager runs as the service account " + b.String() + " then, and nothing in the plan trusts that one"
			out[0].Repair = "Set serviceAccount.name = " + quote(a.name) + " and keep the namespace, or let the identity trust " + b.String() + " in a change before this one."
		}
	}
	if same && r.stays() && (scalar(v.get("podLabels", "azure.workload.identity/use")) == "true" || v.vague && s.After) {
		out = append(out, Tie{
			Kind: KindTrust, Principal: "the label azure.workload.identity/use of " + a.String(), Who: "the service account " + a.String(), Also: ids(id),
			Scope: append(s.cluster(r, o), "labels"), Effect: "Azure's webhook no longer gives cert-manager's pods a token",
			Repair: `Keep podLabels with "azure.workload.identity/use" = "true".`, Doubt: v.doubt(),
		})
	}
	return out
}

// accountOf is the service account that a release runs cert-manager as: the chart names it like the release, with the
// chart's name added unless it is in it.
func accountOf(r *Side, v values) object {
	name := scalar(v.get("serviceAccount", "name"))
	if name == "" {
		name = scalar(v.get("fullnameOverride"))
	}
	if name == "" {
		base := scalar(v.get("nameOverride"))
		if base == "" {
			base = "cert-manager"
		}
		if name = r.Text("name"); !strings.Contains(name, base) {
			name += "-" + base
		}
	}
	ns := scalar(v.get("namespace"))
	if ns == "" {
		ns = releaseObject(r).namespace
	}
	return object{kind: "serviceaccount", namespace: ns, name: name}
}

// values are what a release gives to its chart. vague says that some are not known before the apply, or cannot be read.
type values struct {
	tree    map[string]any
	version string // of the chart
	vague   bool
}

func (v values) get(path ...string) any { return dig(v.tree, path...) }

func (v values) doubt() string {
	if v.vague {
		return "the release's values are known only after the apply"
	}
	return ""
}

const (
	crdsNone = iota // not installed by the release
	crdsKept        // installed, and kept when the release goes
	crdsGo          // installed, and destroyed with the release
)

// crds says what the release does with cert-manager's CRDs. They are kept when the release goes, unless crds.keep is
// false. installCRDs is what crds.enabled was called before v1.15, when nothing kept them.
func (v values) crds() int {
	if scalar(v.get("crds", "enabled")) != "true" && scalar(v.get("installCRDs")) != "true" {
		return crdsNone
	}
	if m := semantic.FindStringSubmatch(v.version); scalar(v.get("crds", "keep")) == "false" || m != nil && number(m[1]) < 2 && number(m[2]) < 15 {
		return crdsGo
	}
	return crdsKept
}

// maxSets bounds how many single values are read of a release.
const maxSets = 2000

// valuesOf merges the documents and the single values of a release, later ones over earlier ones, as Helm does.
func valuesOf(r *Side) values {
	v := values{tree: map[string]any{}, version: chartVersion(r)}
	if !r.Known("values") {
		v.vague = true
	}
	for _, doc := range r.Texts("values") {
		m, err := documentOf(doc)
		if err != nil {
			v.vague = true
			continue
		}
		overlay(v.tree, m, 0)
	}
	for _, block := range []string{"set", "set_sensitive"} {
		if !r.Known(block) {
			if _, known := r.Get(block); !known {
				v.vague = true
			}
		}
		for i := range min(r.Len(block), maxSets) {
			path := setPath(r.Text(block, i, "name"))
			if len(path) == 0 || len(path) > maxYAMLDepth {
				continue
			}
			if !r.Known(block, i, "value") {
				if matters(path) {
					v.vague = true
				}
				continue
			}
			put(v.tree, path, r.Text(block, i, "value"))
		}
	}
	return v
}

// matters reports whether a value that is not known could change whom cert-manager signs in as.
func matters(path []string) bool {
	return slices.Contains([]string{"serviceAccount", "podLabels", "crds", "installCRDs", "fullnameOverride", "nameOverride", "namespace"}, path[0])
}

func overlay(into, from map[string]any, depth int) {
	for k, v := range from {
		a, ok := into[k].(map[string]any)
		b, also := v.(map[string]any)
		if ok && also && depth < maxYAMLDepth {
			overlay(a, b, depth+1)
			continue
		}
		if also {
			v = maps.Clone(b)
		}
		into[k] = v
	}
}

// setPath splits the name of a single value at its dots; a backslash takes the meaning from one.
func setPath(name string) []string {
	var out []string
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		switch {
		case name[i] == '\\' && i+1 < len(name):
			i++
			b.WriteByte(name[i])
		case name[i] == '.':
			out = append(out, b.String())
			b.Reset()
		default:
			b.WriteByte(name[i])
		}
	}
	return append(out, b.String())
}

func put(tree map[string]any, path []string, value string) {
	for _, p := range path[:len(path)-1] {
		next, ok := tree[p].(map[string]any)
		if !ok {
			next = map[string]any{}
			tree[p] = next
		}
		tree = next
	}
	tree[path[len(path)-1]] = value
}

// chartVersion is the version of a release's chart, without the v that cert-manager puts before it.
func chartVersion(r *Side) string { return strings.TrimPrefix(r.Text("version"), "v") }

var semantic = regexp.MustCompile(`^(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?`)

// leap says what is doubtful about a change of version: cert-manager wants to be upgraded one minor version after the other
// (its page on upgrading), and a step back may not read what the newer one wrote. Empty: nothing.
func leap(from, to string) string {
	a, b := semantic.FindStringSubmatch(from), semantic.FindStringSubmatch(to)
	if from == to || a == nil || b == nil {
		return ""
	}
	major, minor := number(b[1])-number(a[1]), number(b[2])-number(a[2])
	switch {
	case major < 0, major == 0 && minor < 0:
		return "going back from version " + from + " to " + to + " may leave objects that the older one cannot read"
	case major > 0:
		return "version " + to + " may want other objects and other values than " + from
	case minor > 1:
		return "from version " + from + " to " + to + " are more than one minor version, and cert-manager wants them one after the other"
	}
	return ""
}

func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}
