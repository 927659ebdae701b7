package install

import (
	"context"
	"strings"

	"github.com/notafter/notafter/internal/assure"
)

// Installer is what this package's installers are to each other.
type Installer interface {
	Install(ctx context.Context, certificate string, chain, key []byte) ([]assure.Step, error)
	String() string
}

// Sequence runs installers in order. When one fails, those before it stay as they are, those after it are not tried,
// and the error says which are which. Running it again puts the pair everywhere.
type Sequence struct{ all []Installer }

// NewSequence takes installers in the order in which they are run.
func NewSequence(all ...Installer) *Sequence { return &Sequence{all: append([]Installer(nil), all...)} }

// String says where to.
func (s *Sequence) String() string { return names(s.all) }

func names(all []Installer) string {
	var out []string
	for _, i := range all {
		out = append(out, i.String())
	}
	return strings.Join(out, "; ")
}

// Install runs all until one fails.
func (s *Sequence) Install(ctx context.Context, certificate string, chain, key []byte) ([]assure.Step, error) {
	var steps []assure.Step
	for n, i := range s.all {
		made, err := i.Install(ctx, certificate, chain, key)
		steps = append(steps, made...)
		if err == nil {
			continue
		}
		for _, later := range s.all[n+1:] {
			step := assure.Step{Name: assure.StepInstall, Target: later.String(), Outcome: assure.Skipped, Detail: "not tried, because " + i.String() + " failed"}
			if len(made) > 0 {
				step.At = made[len(made)-1].At
			}
			steps = append(steps, step)
		}
		return steps, changed(err, func(t *assure.Trouble) {
			if len(s.all) == 1 {
				return
			}
			t.Detail = i.String() + ": " + t.Detail
			if n > 0 {
				t.Detail += "; the new pair is in place in " + names(s.all[:n])
				t.Happened = true
			}
			if n+1 < len(s.all) {
				t.Detail += "; not tried: " + names(s.all[n+1:])
			}
		})
	}
	return steps, nil
}
