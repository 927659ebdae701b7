package iac

import (
	"cmp"
	"slices"
	"strings"
)

// host is the tie of a name that HTTP-01 validates: it leads somewhere, or something answers for it. Only names that an
// inventory or an issuer by HTTP has count.
func (s *State) host(r *Side, what, host, leads string, known bool) Tie {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	t := Tie{
		Kind: KindPath, Principal: what + " " + host, Who: "the " + what + " of " + host, Also: ids(host), Permission: leads,
		Effect: "the authority no longer reaches " + host + " to validate it by HTTP", Idle: !s.validated(host),
	}
	if b := s.counterpart(r); b != nil && s.After {
		switch {
		case !known:
			t.Doubt, t.Permission = "where it leads is known only after the apply", ""
		case s.other.leads(b) != leads:
			t.Doubt = "it leads to " + leads + " then and no longer to " + s.other.leads(b) + ", and whether challenges are answered there is not in the plan"
		}
	}
	return t
}

// validated reports whether a certificate of the plan with an issuer by HTTP may have a name.
func (s *State) validated(host string) bool {
	if !s.http01() {
		return false
	}
	for _, st := range s.sides() {
		if slices.Contains(once(st, "names by http", st.namesByHTTP), host) {
			return true
		}
	}
	return false
}

// namesByHTTP are the names of the certificates and of the ingresses with TLS on a side.
func (s *State) namesByHTTP() []string {
	var out []string
	for _, kind := range []string{"kubernetes_manifest", "kubectl_manifest"} {
		for _, r := range s.Of(kind) {
			if p := s.document(r); p.kind == "certificate" {
				leaves(dig(p.body, "spec", "dnsNames"), nil, func(_ []string, text string) { out = append(out, strings.ToLower(text)) })
			}
		}
	}
	for _, kind := range []string{"kubernetes_ingress_v1", "kubernetes_ingress"} {
		for _, r := range s.Of(kind) {
			v, _ := r.Get("spec", "tls")
			leaves(v, nil, func(path []string, text string) {
				if slices.Contains(path, "hosts") {
					out = append(out, strings.ToLower(text))
				}
			})
		}
	}
	return out
}

// leads says where a resource that answers for a name leads.
func (s *State) leads(r *Side) string {
	for _, a := range []string{"records", "record", "rrdatas", "values", "value", "content", "target_resource_id"} {
		if l := r.Texts(a); len(l) > 0 {
			slices.Sort(l)
			return strings.Join(l, ", ")
		}
	}
	return cmp.Or(r.Text("alias", "name"), "another place")
}

func (s *State) address(r *Side, kind, host string, attributes ...string) []Tie {
	switch strings.ToUpper(kind) {
	case "A", "AAAA", "CNAME":
	default:
		return nil
	}
	if host == "" || strings.HasPrefix(strings.ToLower(host), challengeLabel) {
		return nil
	}
	known := true
	for _, a := range attributes {
		known = known && r.Known(a)
	}
	return []Tie{s.host(r, strings.ToUpper(kind)+" record", host, s.leads(r), known)}
}

func azureAddress(st *State, r *Side) []Tie {
	kind := "A"
	switch r.Change.Type {
	case "azurerm_dns_aaaa_record":
		kind = "AAAA"
	case "azurerm_dns_cname_record":
		kind = "CNAME"
	}
	host := r.Text("zone_name")
	if n := r.Text("name"); n != "@" && n != "" {
		host = n + "." + host
	}
	return st.address(r, kind, host, "records", "record", "target_resource_id")
}

func awsAddress(st *State, r *Side) []Tie {
	return st.address(r, r.Text("type"), cmp.Or(r.Text("fqdn"), r.Text("name")), "records", "alias")
}

func cloudflareAddress(st *State, r *Side) []Tie {
	return st.address(r, r.Text("type"), cmp.Or(r.Text("hostname"), r.Text("name")), "content")
}

func googleAddress(st *State, r *Side) []Tie {
	return st.address(r, r.Text("type"), r.Text("name"), "rrdatas")
}

// ingress reads the hosts of an ingress with TLS, and whether cert-manager makes the certificate for it: the annotation
// by which it names an issuer (cert-manager's page on annotated ingresses). Without it the certificate is destroyed.
func ingress(st *State, r *Side) []Tie {
	var out []Tie
	o, _ := metadata(r, "ingress")
	for _, key := range []string{"cert-manager.io/cluster-issuer", "cert-manager.io/issuer"} {
		v, known := r.Get("metadata", "annotations")
		m, _ := v.(map[string]any)
		if issuer := scalar(m[key]); r.stays() && (issuer != "" || !known) {
			t := Tie{
				Kind: KindSolver, Principal: "issuer of ingress " + o.String(), Who: "the issuer named by the ingress " + o.String(), Permission: issuer, Scope: st.cluster(r, o),
				At: "namespace " + o.namespace, Effect: "cert-manager takes the certificate of the ingress back, and nobody renews what its secret holds",
			}
			if !known {
				t.Doubt = "its annotations are known only after the apply"
			}
			out = append(out, t)
			break
		}
	}
	var seen []string
	v, known := r.Get("spec")
	leaves(v, nil, func(path []string, text string) {
		if field := path[len(path)-1]; field != "host" && !(slices.Contains(path, "hosts") && slices.Contains(path, "tls")) {
			return
		}
		if h := strings.ToLower(text); !slices.Contains(seen, h) && len(seen) < 200 {
			seen = append(seen, h)
			t := st.host(r, "ingress", h, "", known)
			t.Doubt = ""
			out = append(out, t)
		}
	})
	return out
}

// balancer reads a service that a load balancer of the cloud brings port 80 to.
func balancer(st *State, r *Side) []Tie {
	if r.Text("spec", "type") != "LoadBalancer" {
		return nil
	}
	v, _ := r.Get("spec")
	open := false
	leaves(v, nil, func(path []string, text string) {
		open = open || path[len(path)-1] == "port" && text == "80"
	})
	o, ok := metadata(r, "service")
	if !open || !ok {
		return nil
	}
	return st.door(r, "service", o.String())
}
