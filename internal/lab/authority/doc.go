// Package authority is the lab's certificate authority that speaks ACME: Pebble, run in this process on loopback, with
// a proxy in front of it that misbehaves when told to.
//
// [Start] starts the authority. Its settings are those that tests need: profiles with lifetimes of seconds, how often a
// valid authorization is used again, external accounts, windows of renewal information set by hand, certificates
// revoked, accounts deactivated behind the client's back. [Proxy] stands between a client and the authority and gives
// 429 and 503 with Retry-After, slow answers, bad nonces, answers that get lost on the way, broken connections and
// nonsense; a client that is given the proxy's directory sees only the proxy.
//
// What it does not do: Pebble has no rate limits of its own and looks at no CAA records (the proxy can pretend both),
// forgets everything when it is stopped, and its validator keeps one idle goroutine that nobody can end.
package authority
