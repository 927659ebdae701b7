// Package iac reads Terraform and OpenTofu plans and says what they do to the renewal of certificates.
//
// A plan is read as a stream ([Read]): only resources that renewal may rest on are kept. Each side of the plan, the
// world as it is and as it would be, is turned into a set of [Tie]s by readers, one file per provider. [Judge] compares
// the two sets, never addresses: a grant that moved is the same grant, and an equal grant that another address creates
// while this one is destroyed is a collision and not a replacement.
//
// Nothing here asks the network, and nothing here writes. What a plan does not know is unknown, which is never safe.
package iac
