// Package lab is a small Internet on one machine: a certificate authority with revocation lists, OCSP and issuer
// certificates over HTTP, an authoritative DNS server, TLS services that behave well or badly in every way we know of,
// and a sink for pages. Everything speaks its real protocol on real sockets, on loopback addresses and free ports only;
// nothing needs root or a network.
//
// It has three users. Tests of other rooms start single parts: [NewCA], [StartDNS], [StartService], [StartPager].
// [Faulty] starts the truth table: a list of services of which each is wrong in one known way, with what must be said of
// it. [Start] starts a world in which things happen while one watches: certificates live for minutes, most are renewed
// in time, some are not.
//
// What the lab does not do: it is no certificate authority to trust with anything (RSA keys are shared between leaves to
// save time), and its DNS server knows only what an authoritative server needs. Addresses other than 127.0.0.1 on the
// IPv4 loopback network work on Linux out of the box; other systems need them configured.
//
// Every part that was started has a Stop, which closes its sockets, ends its connections and waits for its goroutines.
// Stopping twice is harmless.
package lab
