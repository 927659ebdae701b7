package install

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// File is one file to be written.
type File struct {
	Part Part
	// Path is absolute, with {certificate} for the certificate's name made safe; or, in a directory of versions, a plain
	// name, which may be left out: fullchain.pem, chain.pem, cert.pem, privkey.pem, combined.pem, keystore.p12.
	Path string
	// Mode is the file's permissions; 0644, and 0600 where the key is in it, when zero. A file with the key cannot be
	// readable by everybody.
	Mode fs.FileMode
	// Owner and Group are names or numbers; when empty, those of the process. To give files to somebody else a process
	// must be root or have CAP_CHOWN; to give them to a group it must be in that group.
	Owner, Group string
	Password     string // of PKCS#12; required there
}

// FilesOptions say what is written where.
type FilesOptions struct {
	// Files are written to paths of their own, or, when Directory is set, into it. Empty with Directory: the full chain
	// and the key.
	Files []File
	// Directory makes a directory of versions: DIRECTORY/current/NAME. It is absolute and may hold {certificate}. It needs
	// symbolic links.
	Directory string
	// Keep is how many old versions stay in Directory; 3 when zero, and at least 1.
	Keep int
	// Reload makes the server read the files; nil when it watches them itself.
	Reload *Reload
	// Names, when set, tells which names a certificate must cover.
	Names Names
	// Now is the present time.
	Now func() time.Time
}

// defaultKeep is how many old versions stay.
const defaultKeep = 3

var defaultNames = map[Part]string{
	Fullchain: "fullchain.pem", Chain: "chain.pem", Cert: "cert.pem", Key: "privkey.pem", // as certbot names them
	Combined: "combined.pem", PKCS12: "keystore.p12",
}

// complete checks the options and fills in what was left out. The errors name the key of the configuration.
func (o FilesOptions) complete() (FilesOptions, error) {
	if o.Now == nil {
		return o, errors.New("the present time is required")
	}
	o.Files = slices.Clone(o.Files)
	if o.Directory == "" {
		if len(o.Files) == 0 {
			return o, errors.New("files: say which files to write, or a directory")
		}
		if o.Keep != 0 {
			return o, errors.New("keep: is for a directory of versions; of single files one predecessor is kept")
		}
	} else {
		if err := checkPath(o.Directory); err != nil {
			return o, fmt.Errorf("directory: %w", err)
		}
		if len(o.Files) == 0 {
			o.Files = []File{{Part: Fullchain}, {Part: Key}}
		}
		if o.Keep == 0 {
			o.Keep = defaultKeep
		}
		if o.Keep < 1 || o.Keep > 1000 {
			return o, errors.New("keep: must be from 1 to 1000")
		}
	}
	seen := map[string]bool{}
	for i := range o.Files {
		f, err := o.Files[i].complete(o.Directory != "")
		if err != nil {
			return o, fmt.Errorf("files: %s: %w", o.Files[i].Part, err)
		}
		if seen[f.Path] {
			return o, fmt.Errorf("files: %s is written twice", f.Path)
		}
		seen[f.Path], o.Files[i] = true, f
	}
	if o.Reload != nil {
		r, err := o.Reload.complete()
		if err != nil {
			return o, fmt.Errorf("reload: %w", err)
		}
		o.Reload = &r
	}
	return o, nil
}

func (f File) complete(named bool) (File, error) {
	if !f.Part.known() {
		return f, fmt.Errorf("want one of %v", Parts())
	}
	if named {
		if f.Path == "" {
			f.Path = defaultNames[f.Part]
		}
		if f.Path != filepath.Base(f.Path) || strings.HasPrefix(f.Path, ".") || strings.ContainsAny(f.Path, "/\\\x00") {
			return f, errors.New("path: in a directory of versions it is a plain name that does not begin with a full stop")
		}
	} else {
		if err := checkPath(f.Path); err != nil {
			return f, fmt.Errorf("path: %w", err)
		}
		if strings.HasSuffix(f.Path, previousSuffix) {
			return f, fmt.Errorf("path: names that end in %s are those of predecessors", previousSuffix)
		}
		f.Path = filepath.Clean(f.Path)
	}
	switch {
	case f.Mode == 0 && f.Part.secret():
		f.Mode = 0o600
	case f.Mode == 0:
		f.Mode = 0o644
	}
	switch {
	case f.Mode&^fs.ModePerm != 0:
		return f, errors.New("mode: only the nine permissions can be set")
	case f.Part.secret() && f.Mode&0o007 != 0:
		return f, errors.New("mode: the key is in it, so others get no permission; give it to a group")
	case f.Mode&0o400 == 0:
		return f, errors.New("mode: its owner must be able to read it")
	case (f.Owner != "" || f.Group != "") && !canOwn:
		return f, errors.New("owner, group: cannot be set on this system")
	case f.Part == PKCS12 && f.Password == "":
		return f, errors.New("password: is required")
	case f.Part != PKCS12 && f.Password != "":
		return f, errors.New("password: is for pkcs12 only")
	}
	return f, nil
}

func checkPath(p string) error {
	switch {
	case p == "":
		return errors.New("is required")
	case strings.ContainsRune(p, 0):
		return errors.New("holds a NUL character")
	case !filepath.IsAbs(p):
		return fmt.Errorf("%s is not absolute", p)
	case filepath.Base(p) == string(filepath.Separator), strings.HasSuffix(p, string(filepath.Separator)):
		return fmt.Errorf("%s ends in a separator", p)
	}
	return nil
}
