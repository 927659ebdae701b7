// Package assure is the centre of notafter: the vocabulary, the rules, and two pure functions.
//
// A certificate survives only while a chain of links holds. What must stay true is declared as a [Claim]. Looking
// brings back a [Fact], kept as [Evidence]. [Judge] holds one claim against its evidence at a given time and gives
// exactly one verdict: upheld, broken or unknown; missing, stale and blind evidence is unknown, never upheld.
// [Advance] turns judgements into changes of incidents and into notices for people.
//
// Judging walks the claims, not the evidence, so what nobody looked at is found by construction.
//
// The package imports the standard library only, does no input or output, never asks for the time and takes no
// context. Time is always an argument, in any zone; whatever it returns is in UTC. Its functions hold no state and
// are safe for concurrent use; its values are not changed after they are returned.
package assure
