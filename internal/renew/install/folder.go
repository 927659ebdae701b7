package install

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/notafter/notafter/internal/assure"
)

// around is called in place of every operation that changes the file system, and calls do or does not. Tests fail
// operations with it, before or after they happened. Nil outside tests.
type around func(op, path string, do func() error) error

// folder is a directory held open. Every operation is relative to it and follows no link out of it, so it makes no
// difference what becomes of the path by which it was found.
type folder struct {
	root   *os.Root
	path   string // for people
	around around
}

// openFolder opens the directory at an absolute path. Where others than root and our own user can exchange things on the
// way, no link is followed. The last directory is made when it is missing.
func openFolder(path string, a around) (*folder, error) {
	path = filepath.Clean(path)
	if !filepath.IsAbs(path) {
		return nil, &assure.Trouble{Reason: assure.InstallFailed, Class: assure.TroubleInvalid, Scope: path, Detail: "the path " + clip(path) + " is not absolute"}
	}
	at, rest, err := steadyPart(path)
	if err != nil {
		return nil, fileTrouble("open", path, err)
	}
	if fi, err := os.Stat(at); err == nil && !fi.IsDir() {
		return nil, notFile(at, "is no directory")
	}
	root, err := os.OpenRoot(at)
	if err != nil {
		return nil, fileTrouble("open", at, err)
	}
	d := &folder{root: root, path: at, around: a}
	for i, name := range rest {
		next, err := d.down(name, i == len(rest)-1)
		d.close()
		if err != nil {
			return nil, err
		}
		d = next
	}
	if fi, err := d.root.Stat("."); err != nil {
		d.close()
		return nil, fileTrouble("look at", path, err)
	} else if open(fi) {
		d.close()
		t := trouble(assure.TroubleForbidden, "everybody may replace files in "+clip(path)+", so a key put there is nobody's secret")
		t.Scope, t.Remedy = path, "Take the right to write there from others: chmod o-w"
		return nil, t
	}
	d.path = path
	return d, nil
}

// steadyPart resolves the path as far as nobody but root and ourselves could exchange anything on the way, following
// links, and returns what is left: names that must be entered one by one.
func steadyPart(path string) (at string, rest []string, err error) {
	const maxLinks = 40 // as Linux has it, path_resolution(7)
	sep := string(filepath.Separator)
	split := func(p string) (string, []string) {
		vol := filepath.VolumeName(p)
		return vol + sep, strings.FieldsFunc(p[len(vol):], func(r rune) bool { return r == filepath.Separator })
	}
	links := 0
	at, rest = split(path)
	for len(rest) > 0 {
		name := rest[0]
		if name == "." {
			rest = rest[1:]
			continue
		}
		if name == ".." {
			at, rest = filepath.Dir(at), rest[1:]
			continue
		}
		dir, err := os.Lstat(at)
		if err != nil {
			return "", nil, err
		}
		entry := filepath.Join(at, name)
		fi, err := os.Lstat(entry)
		if errors.Is(err, fs.ErrNotExist) && len(rest) == 1 {
			return at, rest, nil // it will be made
		}
		if err != nil {
			return "", nil, err
		}
		if !steady(dir, fi) {
			return at, rest, nil
		}
		if fi.Mode()&fs.ModeSymlink == 0 {
			at, rest = entry, rest[1:]
			continue
		}
		if links++; links > maxLinks {
			return "", nil, errors.New("too many links")
		}
		to, err := os.Readlink(entry)
		if err != nil {
			return "", nil, err
		}
		if filepath.IsAbs(to) {
			top, names := split(filepath.Clean(to))
			at, rest = top, append(names, rest[1:]...)
		} else {
			rest = append(strings.FieldsFunc(to, func(r rune) bool { return r == filepath.Separator || r == '/' }), rest[1:]...)
		}
	}
	return at, nil, nil
}

// down enters a directory of this one, which must not be a link.
func (d *folder) down(name string, make bool) (*folder, error) {
	path := filepath.Join(d.path, name)
	if name == ".." {
		return nil, fileTrouble("open", path, errors.New("a way up that others can change is not taken"))
	}
	fi, err := d.root.Lstat(name)
	made := errors.Is(err, fs.ErrNotExist) && make
	if made {
		if err := d.change("mkdir", name, func() error { return d.root.Mkdir(name, 0o755) }); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fileTrouble("make directory", path, err)
		}
		fi, err = d.root.Lstat(name)
	}
	if err != nil {
		return nil, fileTrouble("open", path, err)
	}
	switch {
	case fi.Mode()&fs.ModeSymlink != 0:
		t := trouble(assure.TroubleForbidden, "a link stands at "+clip(path)+", where others than root and notafter's user could have put it; it is not followed")
		t.Scope, t.Remedy = path, "Give the directory's real path, or give the directory that holds the link to root"
		return nil, t
	case !fi.IsDir():
		return nil, notFile(path, "is no directory")
	}
	root, err := d.root.OpenRoot(name)
	if err != nil {
		return nil, fileTrouble("open", path, err)
	}
	if now, err := root.Stat("."); err != nil || !os.SameFile(fi, now) {
		_ = root.Close()
		return nil, trouble(assure.TroubleConflict, "the directory "+clip(path)+" was exchanged while it was opened")
	}
	next := &folder{root: root, path: path, around: d.around}
	if made {
		if err := next.let(); err != nil {
			next.close()
			return nil, err
		}
	}
	return next, nil
}

// let lets everybody through the directory, whatever the umask: the files in it have modes of their own, and servers
// that run as somebody else must get to theirs.
func (d *folder) let() error {
	err := d.change("chmod", ".", func() error {
		f, err := d.root.Open(".")
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // opened for reading
		return letDir(f)
	})
	if err != nil {
		return fileTrouble("chmod", d.path, err)
	}
	return nil
}

func notFile(path, what string) *assure.Trouble {
	t := trouble(assure.TroubleInvalid, clip(path)+" "+what)
	t.Scope, t.Remedy = path, "Move it away, or correct the path in the configuration"
	return t
}

func (d *folder) close() { _ = d.root.Close() }

func (d *folder) join(name string) string { return filepath.Join(d.path, name) }

// change makes one change of the file system.
func (d *folder) change(op, name string, do func() error) error {
	if d.around != nil {
		return d.around(op, d.join(name), do)
	}
	return do()
}

// write makes a new file with its content, owner and mode, and returns when all of it is on disk. A file, link or anything
// else of that name must not exist.
func (d *folder) write(name string, data []byte, mode fs.FileMode, own owner) error {
	var f *os.File
	err := d.change("create", name, func() (err error) {
		// Nobody else may read it before the owner is set; O_EXCL follows no link.
		f, err = d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		return err
	})
	if f != nil {
		defer f.Close() //nolint:errcheck // closed with a look at the error below; this one is for the ways out before
	}
	if err != nil {
		return fileTrouble("create", d.join(name), err)
	}
	if err := d.change("write", name, func() error { _, err := f.Write(data); return err }); err != nil {
		return fileTrouble("write", d.join(name), err)
	}
	if own.set() {
		if err := d.change("chown", name, func() error { return f.Chown(own.uid, own.gid) }); err != nil {
			t := fileTrouble("chown", d.join(name), err)
			if t.Class == assure.TroubleDenied {
				t.Detail = clip(fmt.Sprintf("give %s to %s: %s may not", d.join(name), own, whoami()))
				t.Remedy = "Run notafter as root or with CAP_CHOWN, or leave owner and group out and let the server's group read the directory"
			}
			return t
		}
	}
	if err := d.change("chmod", name, func() error { return f.Chmod(mode) }); err != nil {
		return fileTrouble("chmod", d.join(name), err)
	}
	if err := d.change("sync", name, f.Sync); err != nil {
		return fileTrouble("sync", d.join(name), err)
	}
	if err := f.Close(); err != nil {
		return fileTrouble("close", d.join(name), err)
	}
	return nil
}

func (d *folder) rename(from, to string) error {
	if err := d.change("rename", to, func() error { return d.root.Rename(from, to) }); err != nil {
		return fileTrouble("rename to", d.join(to), err)
	}
	return nil
}

func (d *folder) link(from, to string) error {
	return d.change("link", to, func() error { return d.root.Link(from, to) })
}

func (d *folder) symlink(target, name string) error {
	if err := d.change("symlink", name, func() error { return d.root.Symlink(target, name) }); err != nil {
		return fileTrouble("link", d.join(name), err)
	}
	return nil
}

// remove takes a file, a link, or a directory with what is in it away. What is not there is removed already.
func (d *folder) remove(name string) error {
	err := d.change("remove", name, func() error { return d.root.RemoveAll(name) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fileTrouble("remove", d.join(name), err)
	}
	return nil
}

// sync makes renames in this directory last through a loss of power.
func (d *folder) sync() error {
	err := d.change("sync", ".", func() error {
		f, err := d.root.Open(".")
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // opened for reading
		return syncDir(f)
	})
	if err != nil {
		return fileTrouble("sync", d.path, err)
	}
	return nil
}

// look tells what stands at name without following it; nil when there is nothing.
func (d *folder) look(name string) (fs.FileInfo, error) {
	fi, err := d.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fileTrouble("look at", d.join(name), err)
	}
	return fi, nil
}

// maxFile is how large a file may be that is read back, in bytes.
const maxFile = 4 << 20

// read reads a regular file and follows no link to it.
func (d *folder) read(name string) ([]byte, fs.FileInfo, error) {
	fi, err := d.root.Lstat(name)
	if err != nil {
		return nil, nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, nil, errors.New("is no regular file")
	}
	f, err := d.root.OpenFile(name, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	if now, err := f.Stat(); err != nil || !os.SameFile(fi, now) {
		return nil, nil, errors.New("was exchanged while it was opened")
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("is larger than %d MiB", maxFile>>20)
	}
	return data, fi, err
}

// names lists the directory. Of one with more entries than any honest one has, a part.
func (d *folder) names() ([]string, error) {
	const most = 100_000
	f, err := d.root.Open(".")
	if err != nil {
		return nil, fileTrouble("list", d.path, err)
	}
	defer f.Close() //nolint:errcheck // opened for reading
	var out []string
	for len(out) < most {
		some, err := f.Readdirnames(1000)
		out = append(out, some...)
		if errors.Is(err, io.EOF) || (err == nil && len(some) == 0) {
			break
		}
		if err != nil {
			return nil, fileTrouble("list", d.path, err)
		}
	}
	return out, nil
}
