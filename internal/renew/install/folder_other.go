//go:build !unix

package install

import (
	"io/fs"
	"os"
	"os/user"
)

const nonblock = 0

const canOwn = false

// steady is taken to be true: who may write where stands in access lists that the standard library does not read.
func steady(_, _ fs.FileInfo) bool { return true }

func open(fs.FileInfo) bool { return false }

func ownerOf(fs.FileInfo) owner { return nobody() }

// sameMode is taken to be true: there are no such permissions here.
func sameMode(_, _ fs.FileMode) bool { return true }

func letDir(*os.File) error { return nil }

// syncDir does nothing: directories cannot be flushed here.
func syncDir(*os.File) error { return nil }

// mayWrite cannot be asked here without writing.
func mayWrite(string) error { return nil }

func whoami() string {
	if u, err := user.Current(); err == nil {
		return "user " + u.Username
	}
	return "this user"
}
