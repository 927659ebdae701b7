// Package dnscheck asks public DNS what a renewal depends on: where a challenge record really lives, whether every
// authoritative server shows a value, whether CAA lets a certificate authority issue, and whether a zone's delegation
// is whole. It implements renew.Zones.
//
// It looks as an authority's resolver looks, from the parent downwards and at the authoritative servers themselves,
// because a recursive resolver's memory hides both what is new and what is broken. Recursive resolvers are asked only
// for the upper end of the tree and for the addresses of name servers, never for a challenge's own name before the
// value is everywhere: an absence that they remember would outlive it (RFC 2308). One lagging server of three is a
// failure, since the authority may ask just that one.
//
// Everything that comes back is hostile: names, counts, sizes and times are bounded, texts are clipped, an answer counts
// only when it repeats the question. Nothing is retried beyond the loss of a packet; whoever calls decides when to look
// again. No call outlives its context by more than a moment.
//
// Known gaps: signatures are not checked here; that a zone's DNSSEC is wrong is learnt from a validating resolver, which
// refuses what it answers with checking disabled. Servers are asked from one place: an anycast address that answers
// differently elsewhere looks whole, and where no IPv6 address answers at all, IPv6 is taken to be missing here.
package dnscheck
