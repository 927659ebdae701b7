package assure

import (
	"errors"
	"time"
)

// Errors that cross rooms; the caller of a store branches on them.
var (
	// ErrNotFound says that what was asked for by name does not exist.
	ErrNotFound = errors.New("not found")
	// ErrConflict says that another process changed the same rows at the same time. Nothing was written; the caller does
	// the transaction again from its start.
	ErrConflict = errors.New("changed by another process at the same time")
	// ErrFull says that the disk that holds the state is full. Nothing was written; a person has to free some space.
	ErrFull = errors.New("the disk is full")
)

// User is somebody who may sign in with a password.
type User struct {
	Name         string
	PasswordHash string // argon2id, in the PHC string format
	Created      time.Time
}

// Session is a signed-in browser.
type Session struct {
	TokenHash []byte // SHA-256 of the cookie's value
	User      string
	CSRF      string
	Created   time.Time
	Expires   time.Time
}

// Token is a bearer token for the API.
type Token struct {
	Name      string
	TokenHash []byte // SHA-256 of the token
	Scope     string // "read" or "write"
	Created   time.Time
	Expires   time.Time // zero: never
}

// Audit is one line of the audit log.
type Audit struct {
	At     time.Time `json:"at"`
	Who    string    `json:"who"`
	Remote string    `json:"remote,omitempty"`
	Action string    `json:"action"` // such as "sign-in", "acknowledge"
	Object string    `json:"object,omitempty"`
	Detail string    `json:"detail,omitempty"`
}
