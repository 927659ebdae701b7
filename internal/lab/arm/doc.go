// Package arm is a stand-in for Azure on one machine: the part of Azure Resource Manager and of Microsoft Entra ID that
// keeping certificates alive depends on. It speaks HTTPS (and plain HTTP for the metadata service) on loopback addresses
// and free ports, and the official Azure SDK clients talk to it unchanged.
//
// What it knows:
//
//   - tokens: client secrets, federated assertions (workload identity), managed identities as the metadata service and as
//     App Service give them; discovery documents as MSAL asks for them;
//   - DNS zones and record sets with ETags, If-Match and If-None-Match;
//   - user-assigned managed identities, which are other principals when they are made again;
//   - role definitions with wildcards and exceptions, role assignments at every scope, groups, deny assignments,
//     permissions, checkAccess and management locks.
//
// It enforces its own role assignments, deny assignments and locks on every request, so that one truth answers what may
// be done and does it: whoever takes a grant away here sees TXT writes refused with the body that Azure sends.
//
// Every change of a TXT record set is handed to [Options.OnTXT] before the request is answered, so that a DNS server can
// publish it.
//
// What it does not do: conditions on role assignments are kept and shown, and otherwise treated as never met; management
// groups have no tree of their own, each is above every subscription; nothing is replicated, so changes of grants are
// seen at once unless [Options.Stale] or [Server.SetLag] say otherwise; lists have one page.
//
// Sources: the REST reference of Azure DNS (api-version 2018-05-01), Microsoft.Authorization (2022-04-01, locks
// 2016-09-01), Microsoft.ManagedIdentity (2023-01-31) and the request that kubeguard/guard sends for checkAccess (2018-09-01-preview, a preview without a public
// reference). Error bodies are those that users quote in public issues.
package arm
