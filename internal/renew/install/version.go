package install

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// Names in a directory of versions.
const (
	versionsName = "versions"
	currentName  = "current"
)

// version is the layout of a directory DIR/versions/N with the link DIR/current: a pair switches by one rename.
type version struct {
	pair     *pair
	entries  []entry
	keep     int
	base     *folder
	versions *folder
	before   string // where the link led to; "" when there was none
	temp     string // the name under which the new version is written
	made     string // its final name, once it has it
}

// ours is what the link holds when this package made it.
var ours = regexp.MustCompile(`^versions/([1-9][0-9]{0,17})$`)

func openVersion(p *pair, entries []entry, dir string, keep int, a around) (*version, error) {
	base, err := openFolder(dir, a)
	if err != nil {
		return nil, err
	}
	l := &version{pair: p, entries: entries, keep: keep, base: base}
	fi, err := base.look(currentName)
	switch {
	case err != nil:
	case fi == nil:
	case fi.Mode()&fs.ModeSymlink == 0:
		err = notFile(base.join(currentName), "is there and is no link")
	default:
		if l.before, err = base.root.Readlink(currentName); err != nil {
			err = fileTrouble("read", base.join(currentName), err)
		}
		l.before = filepath.ToSlash(l.before)
	}
	if err == nil {
		l.versions, err = base.down(versionsName, true)
	}
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *version) close() {
	l.base.close()
	if l.versions != nil {
		l.versions.close()
	}
}

func (l *version) sweep() error {
	for _, d := range []*folder{l.base, l.versions} {
		names, err := d.names()
		if err != nil {
			return err
		}
		for _, name := range names {
			if (d == l.base && isTemp(name, currentName)) || (d == l.versions && isTemp(name, versionsName)) {
				if err := d.remove(name); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (l *version) same() bool {
	m := ours.FindStringSubmatch(l.before)
	if m == nil {
		return false
	}
	dir, err := l.versions.down(m[1], false)
	if err != nil {
		return false
	}
	defer dir.close()
	for _, e := range l.entries {
		if !e.inPlace(dir, e.name, l.pair) {
			return false
		}
	}
	return true
}

// numbers lists the versions that exist, newest first.
func (l *version) numbers() ([]int64, error) {
	names, err := l.versions.names()
	if err != nil {
		return nil, err
	}
	var out []int64
	for _, name := range names {
		if ours.MatchString(versionsName + "/" + name) {
			n, err := strconv.ParseInt(name, 10, 64)
			if err == nil {
				out = append(out, n)
			}
		}
	}
	slices.Sort(out)
	slices.Reverse(out)
	return out, nil
}

func (l *version) stage() error {
	l.temp = tempName(versionsName)
	if err := l.versions.change("mkdir", l.temp, func() error { return l.versions.root.Mkdir(l.temp, 0o700) }); err != nil {
		return fileTrouble("make directory", l.versions.join(l.temp), err)
	}
	dir, err := l.versions.down(l.temp, false)
	if err != nil {
		return err
	}
	defer dir.close()
	for _, e := range l.entries {
		if err := dir.write(e.name, e.data, e.mode, e.own); err != nil {
			return err
		}
	}
	if err := dir.let(); err != nil {
		return err
	}
	if err := dir.sync(); err != nil {
		return err
	}
	have, err := l.numbers()
	if err != nil {
		return err
	}
	next := int64(1)
	if len(have) > 0 {
		next = have[0] + 1
	}
	if m := ours.FindStringSubmatch(l.before); m != nil {
		if n, err := strconv.ParseInt(m[1], 10, 64); err == nil && n >= next {
			next = n + 1 // the link leads to a version that somebody removed
		}
	}
	l.made = strconv.FormatInt(next, 10)
	if err := l.versions.rename(l.temp, l.made); err != nil {
		return err
	}
	return l.versions.sync()
}

func (l *version) swap() (bool, error) {
	return true, l.point(versionsName + "/" + l.made)
}

// point makes the link lead to target, in one rename.
func (l *version) point(target string) error {
	temp := tempName(currentName)
	err := l.base.symlink(filepath.FromSlash(target), temp)
	if err == nil {
		err = l.base.rename(temp, currentName)
	}
	if err != nil {
		_ = l.base.remove(temp)
		return err
	}
	return l.base.sync()
}

func (l *version) undo() error {
	if l.before != "" {
		return l.point(l.before)
	}
	if err := l.base.remove(currentName); err != nil {
		return err
	}
	return l.base.sync()
}

func (l *version) had() bool { return l.before != "" }

// discard removes the new version unless the link leads to it, be it that a rollback failed.
func (l *version) discard() {
	target, err := l.base.root.Readlink(currentName)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return
	}
	for _, name := range []string{l.temp, l.made} {
		if name != "" && versionsName+"/"+name != filepath.ToSlash(target) {
			_ = l.versions.remove(name) // the next Install sweeps what cannot be removed now
		}
	}
}

// settle removes old versions: the one before stays, and of the others the newest, so many that with it keep remain.
func (l *version) settle() (string, error) {
	detail := fmt.Sprintf("version %s is current", l.made)
	room := l.keep
	if l.had() {
		detail += ", " + clip(l.before) + " was before"
		room--
	}
	have, err := l.numbers()
	if err != nil {
		return detail, err
	}
	for _, n := range have {
		name := strconv.FormatInt(n, 10)
		if name == l.made || versionsName+"/"+name == l.before {
			continue
		}
		if room > 0 {
			room--
			continue
		}
		if err := l.versions.remove(name); err != nil {
			return detail, err
		}
	}
	return detail, nil
}
