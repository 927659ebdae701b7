package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// directory is a directory for temporary files that tells, by a lock which the kernel gives back when a process ends,
// whether somebody still needs it.
type directory struct {
	path   string
	unlock func() error
}

// lockName is taken by whoever needs the directory that it is in.
const lockName = "in-use"

// makeDirectory makes a directory whose name begins with a prefix, and first takes away those that processes of the same
// user left there when they were killed. What cannot be told from one in use stays.
func makeDirectory(prefix string) (*directory, error) {
	sweep(os.TempDir(), prefix)
	path, err := os.MkdirTemp("", prefix)
	if err != nil {
		return nil, fmt.Errorf("make a directory for the lab: %w", err)
	}
	// Under another name until it is locked: whoever sweeps at this moment must not take it first.
	file := filepath.Join(path, lockName)
	unlock, err := lock(file + ".new")
	if err == nil {
		if err = os.Rename(file+".new", file); err != nil {
			err = errors.Join(err, unlock())
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock a directory for the lab: %w", err), os.RemoveAll(path))
	}
	return &directory{path, unlock}, nil
}

func (d *directory) remove() error { return errors.Join(os.RemoveAll(d.path), d.unlock()) }

// sweep takes away directories that nobody needs any more. What does not work is for the next one to try.
func sweep(in, prefix string) {
	found, _ := os.ReadDir(in)
	for _, entry := range found {
		if !strings.HasPrefix(entry.Name(), prefix) {
			continue
		}
		path := filepath.Join(in, entry.Name())
		file := filepath.Join(path, lockName)
		if info, err := os.Lstat(path); err != nil || !info.IsDir() || !ours(info) {
			continue
		}
		if info, err := os.Lstat(file); err != nil || !info.Mode().IsRegular() || !ours(info) {
			continue
		}
		unlock, err := lock(file)
		if err != nil {
			continue
		}
		_ = os.RemoveAll(path)
		_ = unlock()
	}
}
