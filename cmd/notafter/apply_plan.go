package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/notafter/notafter/internal/iac"
)

// savedPlan is a plan file that a command applies.
type savedPlan struct {
	command []string
	// verb is where "apply" stands in the command, plan where the plan file does.
	verb, plan int
	file       string // its path from here
	// was is the file as it was when its digest was first taken.
	was fileState
}

// fileState tells a file from another one, and from itself after somebody wrote, moved or touched it: of the path's last
// element, and of what it leads to when that is a symbolic link. A file that was swapped and swapped back is to the byte
// what it was, and differs in this. What it does not tell is another directory in the place of one above the file.
type fileState struct{ link, file string }

func fileStateOf(path string) fileState {
	return fileState{link: stampOfFile(path, false), file: stampOfFile(path, true)}
}

// zipMagic begins the plan files of Terraform and OpenTofu, which are archives.
var zipMagic = []byte("PK\x03\x04")

// findPlan finds what a command applies. named is the plan file when the user gave it.
func findPlan(command []string, named string) (*savedPlan, error) {
	s := &savedPlan{command: command, verb: slices.Index(command, "apply"), plan: -1}
	if !isTool(command[0]) {
		return nil, misuse("%q is none of %s: it could not be asked for the plan", clip(command[0], 60), strings.Join(tools, ", "))
	}
	if s.verb < 1 {
		return nil, misuse("the command applies nothing: want, for instance, -- %s apply plan.tfplan", filepath.Base(command[0]))
	}
	dir := ""
	for _, a := range command[1:s.verb] {
		if d, ok := strings.CutPrefix(strings.TrimLeft(a, "-"), "chdir="); ok {
			dir = d
		}
	}
	from := func(name string) string {
		if dir != "" && !filepath.IsAbs(name) {
			return filepath.Join(dir, name)
		}
		return name
	}
	var want os.FileInfo
	if named != "" {
		var err error
		if want, err = os.Stat(named); err != nil {
			return nil, fmt.Errorf("find the plan: %w", err)
		}
	}
	for i := len(command) - 1; i > s.verb; i-- {
		if strings.HasPrefix(command[i], "-") {
			continue
		}
		info, err := os.Stat(from(command[i]))
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		if want != nil && os.SameFile(info, want) || want == nil && beginsWith(from(command[i]), zipMagic) {
			s.plan, s.file = i, from(command[i])
			return s, nil
		}
	}
	if named != "" {
		return nil, misuse("the command does not apply %s: a plan that is judged must be the one that is applied", clip(named, 60))
	}
	if i := lastArgument(command, s.verb); i > 0 {
		name := clip(from(command[i]), 120)
		info, err := os.Stat(from(command[i]))
		switch {
		case err != nil && errors.Is(err, fs.ErrNotExist):
			return nil, misuse("%s is not there: want the file that %s plan -out=FILE wrote", name, filepath.Base(command[0]))
		case err != nil:
			return nil, misuse("find the plan: %s", err)
		case info.IsDir():
			return nil, misuse("%s is a directory: want the file that %s plan -out=FILE wrote", name, filepath.Base(command[0]))
		default:
			return nil, misuse("%s is no saved plan: want the file that %s plan -out=FILE wrote (an encrypted one is named by --plan)", name, filepath.Base(command[0]))
		}
	}
	return nil, misuse("the command applies no saved plan: it would plan for itself, and nobody could judge that before. Save one with -out, and apply it: %s plan -out=plan.tfplan && notafter apply -- %s apply plan.tfplan (an encrypted one is named by --plan)",
		filepath.Base(command[0]), filepath.Base(command[0]))
}

// withValue are flags of apply whose value may stand in an argument of its own.
var withValue = []string{"var", "var-file", "target", "exclude", "replace", "state", "state-out", "backup", "parallelism", "lock-timeout"}

// lastArgument is where in a command the last argument stands that is neither a flag nor the value of one; 0 when there is
// none.
func lastArgument(command []string, verb int) int {
	i := len(command) - 1
	if i > verb && !strings.HasPrefix(command[i], "-") &&
		!(strings.HasPrefix(command[i-1], "-") && slices.Contains(withValue, strings.TrimLeft(command[i-1], "-"))) {
		return i
	}
	return 0
}

func beginsWith(file string, magic []byte) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	head := make([]byte, len(magic))
	_, err = io.ReadFull(f, head)
	return err == nil && string(head) == string(magic)
}

// digest is the SHA-256 of the plan file, in hexadecimal. The first time, it is also noted which file that is.
func (s *savedPlan) digest() (string, error) {
	if s.was == (fileState{}) {
		s.was = fileStateOf(s.file)
	}
	f, err := os.Open(s.file)
	if err != nil {
		return "", fmt.Errorf("read the plan: %w", err)
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read the plan: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// still fails when the plan file is not what it was, or was touched meanwhile.
func (s *savedPlan) still(digest string) error {
	now, err := s.digest()
	if err != nil {
		return err
	}
	if now != digest {
		return failed(fmt.Errorf("the plan file %s changed while it was judged: it is not the one that was looked at", s.file))
	}
	if fileStateOf(s.file) != s.was {
		return failed(fmt.Errorf("the plan file %s was written, moved or touched while it was judged: another one may have been looked at", s.file))
	}
	return nil
}

// show has the tool show the plan as JSON, which holds sensitive values in clear text: it goes through a pipe and is kept
// nowhere.
func (s *savedPlan) show(ctx context.Context, p *program) (*iac.Plan, error) {
	args := append(slices.Clone(s.command[1:s.verb]), "show", "-json", s.command[s.plan])
	cmd := exec.CommandContext(ctx, s.command[0], args...)
	cmd.Stderr = p.stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	said := filepath.Base(s.command[0]) + " show -json " + s.command[s.plan]
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", said, err)
	}
	plan, bad := iac.Read(out, iac.ReadOptions{})
	_, _ = io.Copy(io.Discard, out) // a tool that is not listened to any more would wait for ever
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			return nil, status{code: exitInterrupted, err: errors.New("interrupted")}
		}
		return nil, fmt.Errorf("%s: %w", said, err)
	}
	if bad != nil {
		return nil, fmt.Errorf("%s: %w", said, bad)
	}
	return plan, nil
}
