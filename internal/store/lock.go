package store

import (
	"fmt"
	"strings"
)

// InUseError says that another process holds the SQLite file.
type InUseError struct {
	Path string
	PID  string // of the other process; empty when not known
}

func (e *InUseError) Error() string {
	who := "another process"
	if e.PID != "" {
		who = "process " + e.PID
	}
	return fmt.Sprintf("%s is in use by %s. One process at a time can use a SQLite database: stop the other one, give this one another state directory, or use PostgreSQL for several", e.Path, who)
}

func inUse(lock, pid string) error {
	return &InUseError{Path: strings.TrimSuffix(lock, ".lock"), PID: pid}
}
