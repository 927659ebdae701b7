package config

import (
	"errors"
	"strings"
)

// File is the path of a file. A relative one begins at the directory of the configuration.
type File string

// UnmarshalText takes a path.
func (f *File) UnmarshalText(b []byte) error {
	if len(b) == 0 || strings.ContainsRune(string(b), 0) {
		return errors.New("is empty: want the path of a file")
	}
	*f = File(b)
	return nil
}

// Revocation says how much is asked about revocation.
type Revocation string

// How much is asked about revocation.
const (
	RevocationOff  Revocation = "off"
	RevocationLeaf Revocation = "leaf"
	RevocationFull Revocation = "full"
)

func (Revocation) choices() []string {
	return []string{string(RevocationOff), string(RevocationLeaf), string(RevocationFull)}
}

// Trust is the set of roots to judge chains by: one of [TrustSystem] and [TrustMozilla], or paths of PEM files.
type Trust []string

// Sets of roots that have a name.
const (
	TrustSystem  = "system"
	TrustMozilla = "mozilla"
)

// Named is TrustSystem or TrustMozilla; empty when the roots come from files.
func (t Trust) Named() string {
	if len(t) == 1 && (t[0] == TrustSystem || t[0] == TrustMozilla) {
		return t[0]
	}
	return ""
}

func (Trust) oneOrMany() {}
