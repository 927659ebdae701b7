package iac

import (
	"errors"
	"io"
)

// ReadOptions bound what is read. The zero value is what the product uses.
type ReadOptions struct {
	// MaxResource is how many bytes one resource that matters may have (default 8 MiB).
	MaxResource int
}

// Read reads a plan.
func Read(r io.Reader, o ReadOptions) (*Plan, error) { return nil, errors.New("not there yet") }
