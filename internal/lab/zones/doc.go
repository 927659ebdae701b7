// Package zones is the lab's tree of DNS: a root, the zones below it with their delegations, several authoritative name
// servers for each, dynamic update with TSIG, and a recursive resolver that follows the tree from its root.
//
// Every name server has a loopback address of its own, 127.0.0.2 and up, and all of them share one port that the system
// chose: NS records carry no port, so whoever looks at the tree is told it once ([Lab.Port]). The resolver has an
// address and port of its own ([Lab.ResolverAddr]).
//
// A zone is changed on its primary, the first of its servers, and from there on the others; a server that is held
// ([Lab.Hold]) keeps what it has until it is released, so that a test decides who lags and for how long, without a
// clock. Each server fails in the ways of [Fault], for one zone or for all, and loses packets ([Lab.Lose]) by a fixed
// seed.
//
// Known gaps: nothing is signed; a zone with broken signatures is told by the resolver, which is the only one that
// would check them ([Lab.Bogus]). Transfers (AXFR, NOTIFY) are not spoken. Systems other than Linux have 127.0.0.1 only
// until the other addresses are configured.
package zones
