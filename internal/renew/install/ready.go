package install

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/notafter/notafter/internal/assure"
)

// Ready looks whether an Install could be made now, and touches nothing: the directories are there, or can be made, and
// can be written, the owners exist, and so does the reload command. where is where to, for people. The error is an
// [*assure.Trouble] with the reason [assure.InstallFailed]. That it is nil promises nothing about room on the disk, or
// about what the command does.
func (f *Files) Ready(certificate string) (where string, err error) {
	return strings.TrimSuffix(f.target(certificate), string(filepath.Separator)+currentName), f.ready(certificate)
}

func (f *Files) ready(certificate string) error {
	if SafeName(certificate) == "" {
		return trouble(assure.TroubleInvalid, "the certificate has no name")
	}
	var dirs []string
	if f.opts.Directory != "" {
		dirs = append(dirs, expand(f.opts.Directory, certificate))
		if versions := filepath.Join(dirs[0], versionsName); exists(versions) {
			dirs = append(dirs, versions)
		}
	}
	for _, file := range f.opts.Files {
		if _, err := findOwner(file.Owner, file.Group); err != nil {
			t := trouble(assure.TroubleMissing, clip(err.Error()))
			t.Remedy = "Make the user or group on this machine, or correct the configuration"
			return t
		}
		if dir := filepath.Dir(expand(file.Path, certificate)); f.opts.Directory == "" && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	for _, dir := range dirs {
		if err := writable(dir); err != nil {
			return err
		}
	}
	if r := f.opts.Reload; r != nil && len(r.Command) > 0 {
		if _, err := exec.LookPath(r.Command[0]); err != nil {
			t := trouble(assure.TroubleMissing, clip("the reload command "+r.Command[0]+" could not be started: "+startErr(err)))
			if errors.Is(err, fs.ErrPermission) {
				t.Class, t.Identity = assure.TroubleDenied, whoami()
			}
			t.Remedy = "Correct the command in the configuration, or install the program"
			return t
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// writable opens the directory as an Install does, except that it makes none that is missing: then the one that it would
// be made in has to be writable.
func writable(path string) error {
	missing := false
	d, err := openFolder(path, func(string, string, func() error) error {
		missing = true
		return fs.ErrNotExist
	})
	switch {
	case missing:
		path = filepath.Dir(filepath.Clean(path))
	case err != nil:
		return err
	default:
		d.close()
	}
	if err := mayWrite(path); err != nil {
		return fileTrouble("write in", path, err)
	}
	return nil
}
