// Package legochild is what runs in the child process that writes TXT values at one of many DNS providers. The providers'
// codes and the names of their settings are those of lego's catalogue (github.com/go-acme/lego, v5.5.2), so that what is
// configured and documented for lego works here. The writing is our own, because lego's solvers cannot do what a renewer
// that also rehearses needs:
//
//   - they write base64url(sha256(keyAuth)) at "_acme-challenge." before a domain; we must write and withdraw a given
//     value at a given name, also after a restart, when only the value is known from the journal;
//   - cloudflare, digitalocean, ovh and porkbun withdraw only what the same process presented, by an id kept in memory,
//     and gandiv5 then reports success and leaves the value;
//   - gcloud, gandiv5, vultr and namecheap withdraw every TXT value at the name, somebody else's too, and gcloud leaves
//     the name empty between two requests when it presents;
//   - presenting a value that is there is refused or doubled by most, and statuses and Retry-After are lost in texts.
//
// Here each provider is a small client of its API, and the two ways in which APIs hold TXT values decide how safe it is:
// a record for each value with an id, or a set for each name that is exchanged by comparison where the API can compare.
// Where it cannot, [Provider] says so in Caveat.
//
// The process that runs this holds one set of credentials in its environment and nothing else, can be killed at any time,
// and keeps nothing between two requests.
package legochild
