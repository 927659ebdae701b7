//go:build unix

package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// stampOfFile is what the system says of a file, or of a symbolic link itself: which one it is, and when it was last written
// and changed. The time of the change (st_ctime) is that of a rename, too, and nobody can set it back.
func stampOfFile(path string, follow bool) string {
	ask := unix.Lstat
	if follow {
		ask = unix.Stat
	}
	var s unix.Stat_t
	if err := ask(path, &s); err != nil {
		return err.Error()
	}
	return fmt.Sprint(s.Dev, s.Ino, s.Size, s.Mode, s.Mtim, s.Ctim)
}
