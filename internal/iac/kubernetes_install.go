package iac

import (
	"cmp"
	"strings"
)

// renewer is the tie of cert-manager in a namespace, whoever installs it: the same for all ways, so that one that takes
// another's place is seen as that.
func (s *State) renewer(r *Side, o object, ns, by string) Tie {
	return Tie{
		Kind: KindSolver, Principal: "cert-manager", Who: "cert-manager (" + by + ")", Also: ids(o.name),
		Scope: append(s.cluster(r, o), "namespaces", strings.ToLower(ns)), At: "namespace " + ns, Effect: "no certificate of the cluster is renewed",
	}
}

// delivered reads cert-manager's release where another program in the cluster installs it: Flux, Argo CD, k3s.
func (s *State) delivered(r *Side, p paper) []Tie {
	var charts []string
	ns := p.namespace
	switch p.kind {
	case "helmrelease":
		charts = append(charts, scalar(dig(p.body, "spec", "chart", "spec", "chart")))
		ns = cmp.Or(scalar(dig(p.body, "spec", "targetNamespace")), ns)
	case "application":
		charts = append(charts, scalar(dig(p.body, "spec", "source", "chart")))
		sources, _ := dig(p.body, "spec", "sources").([]any)
		for _, source := range sources[:min(len(sources), 100)] {
			charts = append(charts, scalar(dig(source, "chart")))
		}
		ns = cmp.Or(scalar(dig(p.body, "spec", "destination", "namespace")), ns)
	case "helmchart":
		charts = append(charts, scalar(dig(p.body, "spec", "chart")))
		ns = cmp.Or(scalar(dig(p.body, "spec", "targetNamespace")), ns)
	}
	for _, c := range charts {
		if last(c) == "cert-manager" {
			t := s.renewer(r, p.object, ns, "installed by the "+p.kind+" "+p.object.String())
			if p.vague {
				t.Doubt = "what it says is known only after the apply"
			}
			return []Tie{t}
		}
	}
	return nil
}

// deployed reads cert-manager's controller where its objects are resources themselves.
func (s *State) deployed(r *Side, o object, replicas string, vague bool) []Tie {
	if o.name != "cert-manager" || replicas == "0" {
		return nil
	}
	t := s.renewer(r, o, o.namespace, "deployment "+o.String())
	if vague {
		t.Doubt = "what it says is known only after the apply"
	}
	return []Tie{t}
}

// deployment reads a deployment that is a resource of its own type.
func deployment(st *State, r *Side) []Tie {
	o, ok := metadata(r, "deployment")
	if !ok {
		return nil
	}
	return st.deployed(r, o, r.Text("spec", "replicas"), false)
}

// definition reads a CRD of cert-manager's: with it go all objects of its kind.
func (s *State) definition(r *Side, p paper) []Tie {
	if !strings.HasSuffix(p.name, ".cert-manager.io") {
		return nil
	}
	o := object{kind: p.kind, name: p.name}
	var unknown []Part
	if p.blank {
		unknown = []Part{PartContent}
	}
	return []Tie{{
		Unknown: unknown, Kind: KindSolver, Principal: "crd " + p.name, Who: "the CRD " + p.name, Scope: s.cluster(r, o),
		Effect: "every object of the cluster that it defines is deleted with it", Stale: "the objects that it defines are deleted with the old one",
		Repair: "Keep the CRD, whatever becomes of who installed it.",
	}}
}
