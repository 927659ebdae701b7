// Package probe looks at TLS endpoints from outside and brings back facts.
//
// A look goes from the target's name to every address of both families, opens a connection to each, speaks the clear
// text protocol that comes before TLS where there is one, and shakes hands. What was presented is kept whatever comes
// after: an expired or self-signed certificate, a wrong name, a server that demands a client certificate or breaks off
// once it has shown its own. Verification is switched off in crypto/tls (the proof that the server holds its key is
// not) and is done afterwards by an [Analyser], which says what can be said of a chain without knowing the time.
//
// Looking never judges. There is no threshold here and no verdict; both belong to package assure.
//
// # Stability
//
// Two looks at an unchanged world bring back facts with the same key. Addresses are sorted, chains are numbered in
// the order of addresses, and failures are classified by kinds of error rather than by their wording. What is only
// sampled (the other signature algorithm, the post-quantum key share) is remembered per endpoint, so that a look
// without the sample says the same as the look with it: see memory.go.
//
// # Bounds
//
// Whoever runs an endpoint may be hostile, so one look has bounds that hold whatever comes back:
//
//   - 32 addresses of a name are looked at; the rest are counted;
//   - one connection lives for [Options.Timeout], from the first packet to the last, and all of them together for
//     [Options.TargetTimeout]; chain analysis then has [analysisTime] more for what it must fetch;
//   - one connection reads at most 1 MiB, of which clear text may be 64 KiB in lines of at most 2 KiB;
//   - at most 16 certificates of a chain are kept, and crypto/tls reads at most 256 KiB of them;
//   - a panic in a parser ends one handshake, and is that handshake's fact.
//
// Connections are closed with a reset, without a TLS close: nothing was sent that needs delivery, and the probing
// machine keeps no sockets in TIME_WAIT. Sessions are never resumed, because a resumed session shows no certificate.
package probe
