package install

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/notafter/notafter/internal/assure"
)

// trail is the list of steps of one Install. It belongs to one goroutine.
type trail struct {
	now   func() time.Time
	steps []assure.Step
}

// do makes one step: what f says becomes the detail, its error the trouble.
func (t *trail) do(name, target string, f func() (string, error)) error {
	at := t.now()
	detail, err := f()
	s := assure.Step{Name: name, Target: target, Outcome: assure.Done, Detail: detail, At: at, Took: t.now().Sub(at)}
	if err != nil {
		s.Outcome = assure.Failed
		s.Trouble = assure.TroubleOf(err, assure.InstallFailed)
		s.Detail = s.Trouble.Detail
		err = s.Trouble
	}
	t.steps = append(t.steps, s)
	return err
}

func (t *trail) skip(name, target, why string) {
	t.steps = append(t.steps, assure.Step{Name: name, Target: target, Outcome: assure.Skipped, Detail: why, At: t.now()})
}

func trouble(class assure.TroubleClass, detail string) *assure.Trouble {
	return &assure.Trouble{Reason: assure.InstallFailed, Class: class, Detail: detail}
}

// fileTrouble classifies what the file system said.
func fileTrouble(action, path string, err error) *assure.Trouble {
	var known *assure.Trouble
	if errors.As(err, &known) {
		return known
	}
	why := err
	var pe *fs.PathError
	if errors.As(err, &pe) {
		why = pe.Err // the path stands in the scope; inside a directory held open it would only be half of it
	}
	var le *os.LinkError
	if errors.As(err, &le) {
		why = le.Err
	}
	t := &assure.Trouble{
		Reason: assure.InstallFailed, Class: assure.TroubleTransient, Action: action, Scope: path,
		Detail: clip(action + " " + path + ": " + why.Error()),
	}
	switch {
	case errors.Is(err, syscall.EROFS):
		t.Class, t.Remedy = assure.TroubleForbidden, "The file system is mounted read-only: mount it for writing, or install somewhere else"
	case errors.Is(err, fs.ErrPermission):
		t.Class, t.Identity = assure.TroubleDenied, whoami()
		t.Remedy = "Let the user that notafter runs as write in that directory"
	case errors.Is(err, fs.ErrNotExist):
		t.Class, t.Remedy = assure.TroubleMissing, "Make the directory, or correct the path in the configuration"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		t.Remedy = "The disk is full: make room on it"
	}
	return t
}

// maxDetail is how long a text from outside may be in a step, in bytes.
const maxDetail = 400

// clip makes a text from outside fit for one line: valid UTF-8, no control characters or marks that change the direction,
// white space folded, bounded.
func clip(s string) string {
	if len(s) > 16*maxDetail {
		s = s[:16*maxDetail]
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= maxDetail {
		return s
	}
	cut := maxDetail - len("…")
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// hide keeps a text that holds a private key, or one of the given secrets, out of steps and errors altogether: where one
// piece of a secret shows, others may.
func hide(s string, secrets ...string) string {
	if strings.Contains(s, "PRIVATE KEY") {
		return "(hidden: the text holds a private key)"
	}
	for _, secret := range secrets {
		if len(secret) >= 6 && strings.Contains(s, secret) {
			return "(hidden: the text holds a secret)"
		}
	}
	return s
}
