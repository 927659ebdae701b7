//go:build unix

package install

import (
	"errors"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// nonblock keeps a named pipe that takes a file's place from holding up whoever opens it.
const nonblock = syscall.O_NONBLOCK

// canOwn tells that files can be given to users and groups by number.
const canOwn = true

// steady reports whether nobody but root and our own user can put something else in the entry's place.
func steady(dir, entry fs.FileInfo) bool {
	ours := func(fi fs.FileInfo) bool {
		st, ok := fi.Sys().(*syscall.Stat_t)
		return ok && (st.Uid == 0 || int(st.Uid) == os.Geteuid())
	}
	if !ours(dir) {
		return false
	}
	if dir.Mode().Perm()&0o022 == 0 {
		return true
	}
	return dir.Mode()&fs.ModeSticky != 0 && ours(entry)
}

// open reports whether everybody may replace what is in the directory.
func open(dir fs.FileInfo) bool {
	return dir.Mode().Perm()&0o002 != 0 && dir.Mode()&fs.ModeSticky == 0
}

// ownerOf is to whom a file belongs.
func ownerOf(fi fs.FileInfo) owner {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return owner{uid: int(st.Uid), gid: int(st.Gid)}
	}
	return nobody()
}

// sameMode reports whether a file has the permissions that it should have.
func sameMode(is, want fs.FileMode) bool { return is.Perm() == want }

func letDir(f *os.File) error { return f.Chmod(0o755) }

// syncDir makes the directory's entries last. Some network file systems cannot do that for directories and say so with
// EINVAL or ENOTSUP; their servers do it by themselves.
func syncDir(f *os.File) error {
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return err
	}
	return nil
}

// mayWrite asks the system whether we may make and remove files in the directory.
func mayWrite(dir string) error { return unix.Access(dir, unix.W_OK|unix.X_OK) }

// whoami names the user that the process runs as.
func whoami() string {
	uid := strconv.Itoa(os.Geteuid())
	if u, err := user.LookupId(uid); err == nil {
		return "user " + u.Username
	}
	return "user " + uid
}
