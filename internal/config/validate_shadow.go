package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// spot is where a certificate would be installed, and the key that says so.
type spot struct{ key, place string }

// spots are the places of a list of installations for one certificate. Places of different kinds never equal each other.
func spots(key string, list []Install, certificate string) (out []spot) {
	expand := func(s string) string { return strings.ReplaceAll(s, "{certificate}", certificate) }
	for i, in := range list {
		at := fmt.Sprintf("%s[%d]", key, i)
		switch {
		case in.Directory != "":
			out = append(out, spot{at + ".directory", filepath.Clean(expand(string(in.Directory)))})
		case in.Kubernetes != nil:
			k := in.Kubernetes
			out = append(out, spot{at + ".kubernetes", strings.Join([]string{"secret", string(k.Kubeconfig), k.Context, k.Namespace, expand(k.Name)}, " ")})
		case in.Webhook != nil:
			out = append(out, spot{at + ".webhook", "webhook " + in.Webhook.URL.ref})
		default:
			for _, what := range sortedKeys(in.Files) {
				out = append(out, spot{at + ".files." + what, filepath.Clean(expand(string(in.Files[what].Path)))})
			}
		}
	}
	return out
}

// shadows finds what a rehearsal would put where certificates in service are, or below, or around it: a certificate of
// the staging authority there is an outage.
func (v *validator) shadows(key, renewer string, list []Install) {
	if len(list) == 0 {
		return
	}
	served, around := map[string]bool{}, map[string]bool{}
	for i := range v.c.Certificates {
		cert := &v.c.Certificates[i]
		if r, ok := v.c.Renewers[cert.Renewer]; ok {
			for _, s := range spots("", r.InstallOf(cert), cert.Name) {
				served[s.place] = true
				for _, up := range above(s.place) {
					around[up] = true
				}
			}
		}
	}
	for i := range v.c.Certificates {
		cert := &v.c.Certificates[i]
		if cert.Renewer != renewer {
			continue
		}
		for _, s := range spots(key, list, cert.Name) {
			touches := served[s.place] || around[s.place] || slices.ContainsFunc(above(s.place), func(up string) bool { return served[up] })
			if touches && !v.complained(s.key) {
				v.bad(s.key, "is where the certificate in service goes; a rehearsal must not touch that")
			}
		}
	}
}

// above are the directories that a path lies in; none for what is no path.
func above(place string) (out []string) {
	for filepath.IsAbs(place) && place != filepath.Dir(place) {
		place = filepath.Dir(place)
		out = append(out, place)
	}
	return out
}
