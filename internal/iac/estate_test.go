package iac

import (
	"fmt"
	"io"
	"iter"
	"strings"
)

// estate is a plan of a large organisation as `show -json` writes it, on one line: most of it are machines that mean
// nothing to renewal, and among them is some of everything that does. It is the same each time, and never in memory.
type estate struct {
	resources int // machines and what renewal rests on, together
	blob      int // bytes of text in each machine, on each side
}

// bigEstate is what the benchmark reads: 4,500 changes in 137 MB.
var bigEstate = estate{resources: 4500, blob: 6830}

// estateEvery is how often something that matters comes among the machines.
const estateEvery = 30

// estateTies are the types of those.
var estateTies = []string{"azurerm_role_assignment", "azurerm_dns_zone", "azurerm_user_assigned_identity", "azurerm_federated_identity_credential", "kubernetes_secret"}

// read returns the plan's text.
func (e estate) read() io.Reader {
	next, stop := iter.Pull(e.parts())
	return &pulled{next: next, stop: stop}
}

// pulled reads pieces one after another.
type pulled struct {
	next func() ([]byte, bool)
	stop func()
	rest []byte
}

func (p *pulled) Read(b []byte) (int, error) {
	for len(p.rest) == 0 {
		var ok bool
		if p.rest, ok = p.next(); !ok {
			p.stop()
			return 0, io.EOF
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// parts are the pieces of the plan; each is valid until the next.
func (e estate) parts() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		var b []byte
		more := true
		put := func(format string, args ...any) {
			if b = fmt.Appendf(b[:0], format, args...); more {
				more = yield(b)
			}
		}
		each := func(one func(i int, kind, name string)) {
			for i := range e.resources {
				kind := "azurerm_linux_virtual_machine"
				if i%estateEvery == estateEvery-1 {
					kind = estateTies[i/estateEvery%len(estateTies)]
				}
				if i > 0 {
					put(",")
				}
				one(i, kind, fmt.Sprintf("r%d", i))
			}
		}
		put(`{"format_version":"1.2","terraform_version":"1.13.5","variables":{"location":{"value":"westeurope"}},"planned_values":{"root_module":{"resources":[`)
		each(func(i int, kind, name string) {
			put(`{"address":"%[1]s.%[2]s","mode":"managed","type":"%[1]s","name":"%[2]s","provider_name":"registry.terraform.io/hashicorp/azurerm","schema_version":0,"values":%[3]s,"sensitive_values":{}}`, kind, name, e.values(kind, i))
		})
		put(`]}},"resource_changes":[`)
		each(func(i int, kind, name string) {
			put(`{"address":"%[1]s.%[2]s","mode":"managed","type":"%[1]s","name":"%[2]s","provider_name":"registry.terraform.io/hashicorp/azurerm","change":{"actions":["update"],"before":%[3]s,"after":%[3]s,"after_unknown":{"network_interface_ids":[false,false],"tags":{}},"before_sensitive":{"admin_password":true,"tags":{}},"after_sensitive":{"admin_password":true,"tags":{}}}}`, kind, name, e.values(kind, i))
		})
		put(`],"output_changes":{},"prior_state":{"format_version":"1.0","terraform_version":"1.13.5","values":{"root_module":{"resources":[`)
		each(func(i int, kind, name string) {
			put(`{"address":"%[1]s.%[2]s","mode":"managed","type":"%[1]s","name":"%[2]s","provider_name":"registry.terraform.io/hashicorp/azurerm","schema_version":0,"values":%[3]s,"sensitive_values":{}}`, kind, name, e.values(kind, i))
		})
		put(`]}}},"configuration":{"provider_config":{"azurerm":{"name":"azurerm","full_name":"registry.terraform.io/hashicorp/azurerm"}},"root_module":{"resources":[`)
		each(func(i int, kind, name string) {
			put(`{"address":"%[1]s.%[2]s","mode":"managed","type":"%[1]s","name":"%[2]s","provider_config_key":"azurerm","expressions":{"location":{"references":["var.location"]},"name":{"constant_value":"%[2]s"},"principal_id":{"references":["azurerm_user_assigned_identity.r%[3]d.principal_id","azurerm_user_assigned_identity.r%[3]d"]}},"schema_version":0}`, kind, name, i)
		})
		put(`]}},"timestamp":"2026-09-22T09:00:00Z","applyable":true,"complete":true,"errored":false}` + "\n")
	}
}

// values are the attributes of a resource.
func (e estate) values(kind string, i int) string {
	if kind != "azurerm_linux_virtual_machine" {
		return fmt.Sprintf(`{"id":"/subscriptions/00000000-0000-0000-0000-%012[1]d/resourceGroups/dns/providers/Microsoft.Authorization/roleAssignments/%012[1]d","name":"r%[1]d","scope":"/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/dns/providers/Microsoft.Network/dnsZones/zone-%[1]d.example","role_definition_name":"DNS Zone Contributor","principal_id":"11111111-0000-0000-0000-%012[1]d","principal_type":"ServicePrincipal","condition":null,"condition_version":null,"skip_service_principal_aad_check":null,"timeouts":null,"tags":{"team":"edge","cost":"%[1]d"}}`, i)
	}
	const line = `#!/bin/bash\nset -euo pipefail\necho \"machine %d of the estate — ready\" >> /var/log/boot.log\n`
	script := strings.Repeat(fmt.Sprintf(line, i), e.blob/len(line)/2)
	key := strings.Repeat("c3NoLXJzYSBBQUFBQjNOemFDMXljMkVB", e.blob/64)
	return fmt.Sprintf(`{"id":"/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/estate/providers/Microsoft.Compute/virtualMachines/r%[1]d","admin_username":"adm","allow_extension_operations":true,"availability_set_id":null,"boot_diagnostics":[],"custom_data":"%[3]s","size":"Standard_D4s_v5","disk_size_gb":%[1]d,"max_bid_price":-1,"identity":[{"type":"SystemAssigned","identity_ids":[],"principal_id":"22222222-0000-0000-0000-%012[1]d"}],"network_interface_ids":["/nic/%[1]d/a","/nic/%[1]d/b"],"os_disk":[{"caching":"ReadWrite","disk_size_gb":128,"write_accelerator_enabled":false}],"source_image_reference":[{"publisher":"canonical","offer":"ubuntu-24_04-lts","sku":"server","version":"latest"}],"tags":{"team":"team-%[1]d","cost":"%[1]d"},"user_data":"%[2]s"}`, i, script, key)
}
