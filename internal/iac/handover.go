package iac

import (
	"slices"
	"strings"
)

// handover says whether a plan brings a new credential to whoever renews with it.
type handover int

const (
	handedNever handover = iota
	handedMaybe          // a secret gets a value of which the plan does not say where it comes from
	handedOver           // a secret takes it by reference
)

// handedDoubt is why nobody can tell whether a new credential arrives.
const handedDoubt = "a secret of the plan gets a value that is known only after the apply, and whether it is the new one is not in the plan"

// holders are the resources by which a credential comes to a program, and the attributes of theirs that hold it.
var holders = map[string][]string{
	"kubernetes_secret":                    {"data", "binary_data", "data_wo", "binary_data_wo"},
	"kubernetes_secret_v1":                 {"data", "binary_data", "data_wo", "binary_data_wo"},
	"kubernetes_manifest":                  {"manifest"},
	"kubectl_manifest":                     {"yaml_body", "sensitive_fields"},
	"helm_release":                         {"values", "set", "set.value", "set_sensitive", "set_sensitive.value"},
	"azurerm_key_vault_secret":             {"value", "value_wo"},
	"github_actions_secret":                {"plaintext_value", "value"},
	"github_actions_environment_secret":    {"plaintext_value", "value"},
	"github_actions_organization_secret":   {"plaintext_value", "value"},
	"aws_secretsmanager_secret_version":    {"secret_string", "secret_binary", "secret_string_wo"},
	"aws_ssm_parameter":                    {"value", "value_wo"},
	"google_secret_manager_secret_version": {"secret_data", "secret_data_wo"},
}

// handover says whether a secret of the plan takes its value from a resource that the plan makes. One whose code ignores
// changes of it stays as it is, and takes nothing.
func (s *State) handover(r *Side) handover {
	after := s.ordered()[len(s.sides())-1]
	taken := once(after, "handed over", after.handed)
	base, _ := instance(r.Change.Address)
	switch {
	case taken[base]:
		return handedOver
	case taken[""]:
		return handedMaybe
	}
	return handedNever
}

// handed are the resources that secrets of a side take new values from, by their address without key. "" stands for what
// the plan does not say: a value that comes through a variable, a local value or another module's output.
func (s *State) handed() map[string]bool {
	out := map[string]bool{}
	for kind, attributes := range holders {
		for _, q := range s.Of(kind) {
			if q.Change.Do == NoOp || q.Change.Do == Forget {
				continue
			}
			for _, attribute := range attributes {
				block, _, _ := strings.Cut(attribute, ".")
				if q.Known(block) && !strings.HasSuffix(attribute, "_wo") {
					continue
				}
				refs := q.Change.Refers[attribute]
				found := false
				for _, ref := range refs {
					kind, rest, _ := strings.Cut(ref, ".")
					if slices.Contains([]string{"local", "var", "module", "each"}, kind) {
						out[""] = true
						continue
					}
					found = true
					name := rest[:len(rest)-len(strings.TrimLeft(rest, letters))]
					out[strings.TrimPrefix(q.Change.Module+"."+kind+"."+name, ".")] = true
				}
				if !found && !q.Known(block) {
					out[""] = true
				}
			}
		}
	}
	return out
}
