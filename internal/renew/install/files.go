package install

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/notafter/notafter/internal/assure"
)

// Files installs a pair as files and makes a server read them. It is safe for concurrent use: one Install follows the
// other.
type Files struct {
	opts   FilesOptions
	turn   chan struct{} // holds one token while an Install runs
	around around
}

// NewFiles checks the options. It touches no file.
func NewFiles(o FilesOptions) (*Files, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	return &Files{opts: o, turn: make(chan struct{}, 1)}, nil
}

// String says where to.
func (f *Files) String() string {
	if f.opts.Directory != "" {
		return "files in " + filepath.Join(f.opts.Directory, currentName)
	}
	return "files " + strings.Join(f.paths(), ", ")
}

func (f *Files) paths() []string {
	var out []string
	for _, file := range f.opts.Files {
		out = append(out, file.Path)
	}
	return out
}

// Install writes the files and reloads. Installing what is in place already writes nothing and reloads.
func (f *Files) Install(ctx context.Context, certificate string, chain, key []byte) ([]assure.Step, error) {
	t := &trail{now: f.opts.Now}
	p, err := t.match(certificate, chain, key, f.opts.Names)
	if err != nil {
		return t.steps, err
	}
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		err := t.do(assure.StepInstall, f.target(certificate), func() (string, error) {
			return "", trouble(assure.TroubleTransient, "an installation to the same place was still running when time was up")
		})
		return t.steps, err
	}
	return t.steps, f.install(ctx, t, certificate, p)
}

// target is where this certificate goes, for people.
func (f *Files) target(certificate string) string {
	if f.opts.Directory != "" {
		return clip(filepath.Join(expand(f.opts.Directory, certificate), currentName))
	}
	return clip(expand(strings.Join(f.paths(), ", "), certificate))
}

func (f *Files) install(ctx context.Context, t *trail, certificate string, p *pair) error {
	target := f.target(certificate)
	var l layout
	defer func() {
		if l != nil {
			l.close()
		}
	}()
	var entries []entry
	swapped, begun := false, false
	err := t.do(assure.StepInstall, target, func() (string, error) {
		var err error
		if entries, err = f.entries(certificate, p); err != nil {
			return "", err
		}
		if l, err = f.layout(certificate, p, entries); err != nil {
			return "", err
		}
		if err := l.sweep(); err != nil {
			return "", err
		}
		if l.same() {
			return "the pair is in place already", nil
		}
		if err := l.stage(); err != nil {
			l.discard()
			return "", err
		}
		if ctx.Err() != nil {
			l.discard()
			return "", trouble(assure.TroubleTransient, "time was up before anything was replaced")
		}
		if begun, err = l.swap(); err != nil {
			if !begun {
				l.discard()
			}
			return "", err
		}
		swapped = true
		detail, err := l.settle()
		if err != nil {
			// The pair is in place; what is left over costs room and nothing else. The next Install tries again.
			detail += "; what is older could not be removed: " + assure.TroubleOf(err, assure.InstallFailed).Detail
		}
		return clip(detail), nil
	})
	if err != nil {
		if begun {
			err, _ = f.back(t, target, l, err)
		}
		return err
	}
	if f.opts.Reload == nil {
		return nil
	}
	env := f.environ(certificate, entries)
	err = t.do(assure.StepReload, f.opts.Reload.String(), func() (string, error) { return f.opts.Reload.run(ctx, env) })
	if err == nil {
		return nil
	}
	if !swapped {
		t.skip(assure.StepRollback, target, "the pair was in place before; there is nothing to put back")
		return err
	}
	had := l.had()
	err, undone := f.back(t, target, l, err)
	if !undone {
		return err // the pair from before is not there: nothing to load
	}
	if !had {
		t.skip(assure.StepReload, f.opts.Reload.String(), "nothing was there before that could be loaded")
		return err
	}
	// The context may have ended, and that may be why the reload failed. The server must be told all the same.
	again := t.do(assure.StepReload, f.opts.Reload.String(), func() (string, error) {
		detail, err := f.opts.Reload.run(context.WithoutCancel(ctx), env)
		return clip("with the pair from before: " + detail), err
	})
	if again != nil {
		return changed(err, func(tr *assure.Trouble) {
			tr.Happened = true // what the server holds in memory is not known
			tr.Detail += "; the reload failed with it too"
		})
	}
	return err
}

// back puts the pair from before in its place, and returns why, with how that went, and whether it worked.
func (f *Files) back(t *trail, target string, l layout, why error) (err error, ok bool) {
	had := l.had()
	undone := t.do(assure.StepRollback, target, func() (string, error) {
		err := l.undo()
		if err != nil {
			err = l.undo() // once more: the pair may be mixed now, which is worse than either
		}
		if err != nil {
			return "", err
		}
		if !had {
			return "nothing was there before, so the new files were removed", nil
		}
		return "the pair from before is in place again", nil
	})
	l.discard()
	return changed(why, func(tr *assure.Trouble) {
		tr.Happened = false
		switch {
		case undone != nil:
			tr.Happened = true
			tr.Detail = clip(tr.Detail) + "; the pair from before could not be put back: " + assure.TroubleOf(undone, assure.InstallFailed).Detail
			tr.Remedy = "The files may be mixed: look at them before the server is restarted, then renew again, which puts them right"
		case had:
			tr.Detail = clip(tr.Detail) + "; the pair from before is in place again"
		default:
			tr.Detail = clip(tr.Detail) + "; nothing was there before, so the new files were removed"
		}
	}), undone == nil
}

// changed returns a changed copy of a trouble: the one in the step stays as it was.
func changed(err error, change func(*assure.Trouble)) error {
	t := *assure.TroubleOf(err, assure.InstallFailed)
	change(&t)
	return &t
}

// entries resolves what is written for this certificate.
func (f *Files) entries(certificate string, p *pair) ([]entry, error) {
	if SafeName(certificate) == "" {
		return nil, trouble(assure.TroubleInvalid, "the certificate has no name")
	}
	var out []entry
	for _, file := range f.opts.Files {
		path := expand(file.Path, certificate)
		if f.opts.Directory != "" {
			path = filepath.Join(expand(f.opts.Directory, certificate), currentName, path)
		}
		own, err := findOwner(file.Owner, file.Group)
		if err != nil {
			t := trouble(assure.TroubleMissing, clip(err.Error()))
			t.Scope, t.Remedy = path, "Make the user or group on this machine, or correct the configuration"
			return nil, t
		}
		data, err := file.Part.render(p, file.Password)
		if err != nil {
			t := trouble(assure.TroubleInvalid, clip(err.Error()))
			t.Scope = path
			return nil, t
		}
		out = append(out, entry{
			part: file.Part, path: path, name: filepath.Base(path), data: data,
			mode: file.Mode, own: own, password: file.Password,
		})
	}
	return out, nil
}

func (f *Files) layout(certificate string, p *pair, entries []entry) (layout, error) {
	if f.opts.Directory != "" {
		l, err := openVersion(p, entries, expand(f.opts.Directory, certificate), f.opts.Keep, f.around)
		if err != nil {
			return nil, err
		}
		return l, nil
	}
	l, err := openPlain(p, entries, func(e entry) string { return filepath.Dir(e.path) }, f.around)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// environ is what the reload command learns: the certificate's name, and the first file of each part.
func (f *Files) environ(certificate string, entries []entry) []string {
	out := []string{"NOTAFTER_CERTIFICATE=" + strings.ReplaceAll(certificate, "\x00", "")}
	seen := map[Part]bool{}
	for _, e := range entries {
		if !seen[e.part] {
			seen[e.part] = true
			out = append(out, "NOTAFTER_"+strings.ToUpper(string(e.part))+"="+e.path)
		}
	}
	return out
}
