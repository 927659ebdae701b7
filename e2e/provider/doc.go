// Package provider is a small provider for OpenTofu that goes by the address of azurerm and has three of its resource
// types: azurerm_role_assignment, azurerm_dns_zone and azurerm_user_assigned_identity. It talks to the Azure stand-in of
// the lab over HTTP, so that plans, applies, refusals and drift are real and cost nobody anything.
//
// What decides about plans is as in azurerm 4 (internal/services/authorization, dns and managedidentity there): which
// attributes are computed, which of them make a new object when they change, and which are changed in place. What
// renewal never rests on (SOA settings, cross-tenant delegation) is left out.
//
// It runs within the process of a test. OpenTofu is told where it listens by TF_REATTACH_PROVIDERS, and neither installs
// a provider nor asks a registry.
package provider
