//go:build !unix

package main

import (
	"fmt"
	"os"
)

// stampOfFile is what the system says of a file, or of a symbolic link itself: how long it is, and when it was last written.
func stampOfFile(path string, follow bool) string {
	ask := os.Lstat
	if follow {
		ask = os.Stat
	}
	info, err := ask(path)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(info.Size(), info.Mode(), info.ModTime().UnixNano())
}
