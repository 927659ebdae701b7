package install

import (
	"errors"
	"io/fs"
	"slices"

	"github.com/notafter/notafter/internal/assure"
)

// previousSuffix marks the predecessor of a file.
const previousSuffix = ".previous"

// plain is the layout of files at paths of their own: renamed one after the other, each with its predecessor beside it.
type plain struct {
	pair    *pair
	entries []entry
	dirs    []*folder // of each entry; one directory is open once
	staged  []string  // temporary names, in the order of entries; "" where not staged
	before  []fs.FileInfo
	// keep is true when what lies in place is the mixture that a crash left behind, and the predecessors beside it belong
	// together: then those are what a rollback goes back to.
	keep bool
}

// openPlain opens the directories and looks at what is there.
func openPlain(p *pair, entries []entry, dirOf func(entry) string, a around) (*plain, error) {
	l := &plain{pair: p, entries: entries, staged: make([]string, len(entries)), before: make([]fs.FileInfo, len(entries))}
	byPath := map[string]*folder{}
	for _, e := range entries {
		dir := byPath[dirOf(e)]
		if dir == nil {
			var err error
			if dir, err = openFolder(dirOf(e), a); err != nil {
				l.close()
				return nil, err
			}
			byPath[dirOf(e)] = dir
		}
		l.dirs = append(l.dirs, dir)
	}
	for i, e := range entries {
		for _, name := range []string{e.name + previousSuffix, e.name} {
			fi, err := l.dirs[i].look(name)
			if err == nil && fi != nil && !fi.Mode().IsRegular() && fi.Mode()&fs.ModeSymlink == 0 {
				err = notFile(l.dirs[i].join(name), "is there and is no file")
			}
			if err != nil {
				l.close()
				return nil, err
			}
			l.before[i] = fi
		}
	}
	l.keep = !l.whole("") && l.whole(previousSuffix)
	return l, nil
}

// whole reports whether there are files with that suffix, all of which can be understood, and which belong together.
func (l *plain) whole(suffix string) bool {
	var found []holding
	for i, e := range l.entries {
		if fi, err := l.dirs[i].look(e.name + suffix); err == nil && fi == nil {
			continue
		}
		h, ok := e.found(l.dirs[i], e.name+suffix)
		if !ok {
			return false
		}
		found = append(found, h)
	}
	return len(found) > 0 && agree(found)
}

func (l *plain) close() {
	for _, d := range l.unique() {
		d.close()
	}
}

func (l *plain) unique() []*folder {
	var out []*folder
	for _, d := range l.dirs {
		if !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	return out
}

func (l *plain) sweep() error {
	for _, d := range l.unique() {
		names, err := d.names()
		if err != nil {
			return err
		}
		for _, name := range names {
			for i, e := range l.entries {
				if l.dirs[i] == d && (isTemp(name, e.name) || isTemp(name, e.name+previousSuffix)) {
					if err := d.remove(name); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

func (l *plain) same() bool {
	for i, e := range l.entries {
		if !e.inPlace(l.dirs[i], e.name, l.pair) {
			return false
		}
	}
	return true
}

func (l *plain) stage() error {
	for i, e := range l.entries {
		l.staged[i] = tempName(e.name)
		if err := l.dirs[i].write(l.staged[i], e.data, e.mode, e.own); err != nil {
			return err
		}
	}
	return nil
}

func (l *plain) swap() (bool, error) {
	if !l.keep {
		for i := range l.entries {
			if err := l.save(i); err != nil {
				return false, err
			}
		}
		// What a rollback needs must outlast a loss of power before the first file is replaced.
		if err := l.sync(); err != nil {
			return false, err
		}
	}
	for i, e := range l.entries {
		if err := l.dirs[i].rename(l.staged[i], e.name); err != nil {
			return true, err // also when it is the first: it may have happened all the same
		}
	}
	return true, l.sync()
}

// save makes what lies in place the predecessor; where nothing lies, there is none.
func (l *plain) save(i int) error {
	d, name := l.dirs[i], l.entries[i].name
	if l.before[i] == nil {
		return d.remove(name + previousSuffix)
	}
	return l.duplicate(i, name, name+previousSuffix)
}

// duplicate makes to another name of the file from, or where the file system knows no second names, a copy with the same
// mode and, where that is allowed, owner. What was at to is replaced at once.
func (l *plain) duplicate(i int, from, to string) error {
	d := l.dirs[i]
	temp := tempName(to)
	if err := d.link(from, temp); err != nil {
		if err := d.remove(temp); err != nil { // it may have happened
			return err
		}
		if err := l.copy(i, from, temp); err != nil {
			return err
		}
	}
	if err := d.rename(temp, to); err != nil {
		_ = d.remove(temp)
		return err
	}
	// When both names were the same file already, rename did nothing and left the temporary one (POSIX, rename()).
	return d.remove(temp)
}

func (l *plain) copy(i int, from, to string) error {
	d := l.dirs[i]
	if fi, err := d.look(from); err != nil {
		return err
	} else if fi != nil && fi.Mode()&fs.ModeSymlink != 0 {
		target, err := d.root.Readlink(from)
		if err != nil {
			return fileTrouble("read", d.join(from), err)
		}
		return d.symlink(target, to)
	}
	data, fi, err := d.read(from)
	if err != nil {
		return fileTrouble("read", d.join(from), err)
	}
	err = d.write(to, data, fi.Mode().Perm(), ownerOf(fi))
	var t *assure.Trouble
	if errors.As(err, &t) && t.Action == "chown" {
		// It cannot be given to whom it belonged: then nobody else may read it either.
		if err := d.remove(to); err != nil {
			return err
		}
		return d.write(to, data, fi.Mode().Perm()&0o700, nobody())
	}
	return err
}

func (l *plain) sync() error {
	for _, d := range l.unique() {
		if err := d.sync(); err != nil {
			return err
		}
	}
	return nil
}

func (l *plain) undo() error {
	var first error
	for i, e := range l.entries {
		var err error
		there := l.before[i] != nil
		if l.keep {
			fi, lerr := l.dirs[i].look(e.name + previousSuffix)
			there, err = fi != nil, lerr
		}
		switch {
		case err != nil:
		case there:
			// The predecessor stays where it is: a crash in the middle of a rollback must not lose it.
			err = l.duplicate(i, e.name+previousSuffix, e.name)
		default:
			err = l.dirs[i].remove(e.name)
		}
		if first == nil {
			first = err
		}
	}
	if err := l.sync(); first == nil {
		first = err
	}
	return first
}

func (l *plain) had() bool {
	return l.keep || slices.ContainsFunc(l.before, func(fi fs.FileInfo) bool { return fi != nil })
}

func (l *plain) discard() {
	for i, name := range l.staged {
		if name != "" {
			_ = l.dirs[i].remove(name) // the next Install sweeps what cannot be removed now
		}
	}
}

func (l *plain) settle() (string, error) {
	if !l.had() {
		return "nothing was there before", nil
	}
	return "the previous files are kept as *" + previousSuffix, nil
}
