package install

import (
	"crypto/rand"
	"encoding/hex"
	"io/fs"
	"strings"
)

// layout is how the files of one pair lie on the disk. Calls come in the order of the methods; undo and discard when
// something went wrong.
type layout interface {
	// sweep removes what a process that died left behind.
	sweep() error
	// same reports whether exactly this pair, with its modes and owners, is in place.
	same() bool
	// stage writes everything new to disk and touches nothing that is in use.
	stage() error
	// swap keeps what is there and puts the new pair in its place. begun tells, also when err is set, whether anything
	// that is in use may have been touched.
	swap() (begun bool, err error)
	// undo puts what was there before swap back. It may be called again after it failed.
	undo() error
	// had reports whether there was anything before swap.
	had() bool
	// discard removes what was staged and not used, as far as it can.
	discard()
	// settle removes what is older than what is kept. detail says what is kept.
	settle() (detail string, err error)
	close()
}

// entry is one file to be installed, resolved for one certificate.
type entry struct {
	part     Part
	path     string // where readers find it
	name     string // in its directory
	data     []byte
	mode     fs.FileMode
	own      owner
	password string
}

// inPlace reports whether the file under that name in dir is already what the entry wants.
func (e entry) inPlace(dir *folder, name string, p *pair) bool {
	data, fi, err := dir.read(name)
	if err != nil || !e.part.holds(p, data, e.password) || !sameMode(fi.Mode(), e.mode) {
		return false
	}
	is := ownerOf(fi)
	return (e.own.uid < 0 || e.own.uid == is.uid) && (e.own.gid < 0 || e.own.gid == is.gid)
}

// found reads what the file under that name in dir holds. ok is false when it is there and cannot be understood.
func (e entry) found(dir *folder, name string) (h holding, ok bool) {
	data, _, err := dir.read(name)
	if err != nil {
		return holding{}, false
	}
	h, err = e.part.read(data, e.password)
	return h, err == nil
}

const tempMark = ".notafter-"

// tempName is a name in the same directory that nobody guesses and that tells for which destination it is.
func tempName(name string) string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, crypto/rand says
	return "." + name + tempMark + hex.EncodeToString(b[:])
}

// isTemp reports whether name was made by tempName for the destination.
func isTemp(name, destination string) bool {
	rest, ok := strings.CutPrefix(name, "."+destination+tempMark)
	if !ok || len(rest) != 16 {
		return false
	}
	_, err := hex.DecodeString(rest)
	return err == nil
}
