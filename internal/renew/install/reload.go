package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// Reload makes a server read its files again: by a command or by a signal.
type Reload struct {
	// Command is a program and its arguments; no shell looks at them. The program is an absolute path, or a name that is
	// looked up in PATH. Its environment holds PATH, NOTAFTER_CERTIFICATE, the paths of the files as NOTAFTER_FULLCHAIN,
	// NOTAFTER_KEY and so on, and what Env adds; nothing of the process's own. It works when it ends with status 0.
	Command []string
	Env     []string      // NAME=value
	Timeout time.Duration // of the command; 30 s when zero

	// PIDFile names the file with the number of the process to be signalled, which nobody but its owner may write.
	PIDFile string
	// Signal is HUP, USR1, USR2 or TERM; HUP when empty.
	Signal string
	// Process, when set, is what the process's program must be called, so that no stranger that has got the number of one that
	// died is signalled. Linux only.
	Process string
}

const (
	defaultReload = 30 * time.Second
	maxReload     = 10 * time.Minute
	// maxOutput is how much of the end of a command's output is kept, in bytes.
	maxOutput = 4 << 10
	// lingering is how long is waited for children that keep the command's output open after it ended.
	lingering = 2 * time.Second
)

func (r Reload) complete() (Reload, error) {
	r.Command, r.Env = slices.Clone(r.Command), slices.Clone(r.Env)
	if (len(r.Command) > 0) == (r.PIDFile != "") {
		return r, errors.New("want a command, or a pid file, and not both")
	}
	if r.PIDFile != "" {
		if r.Signal == "" {
			r.Signal = "HUP"
		}
		r.Signal = strings.TrimPrefix(strings.ToUpper(r.Signal), "SIG")
		switch {
		case !canSignal(r.Signal):
			return r, fmt.Errorf("signal: %q cannot be sent here; want HUP, USR1, USR2 or TERM", r.Signal)
		case r.Process != "" && runtime.GOOS != "linux":
			return r, errors.New("process: what a process is called can only be found out on Linux")
		case !filepath.IsAbs(r.PIDFile):
			return r, fmt.Errorf("pid_file: %s is not absolute", r.PIDFile)
		}
		return r, nil
	}
	name := r.Command[0]
	switch {
	case name == "":
		return r, errors.New("command: the program is required")
	case strings.ContainsRune(filepath.ToSlash(name), '/') && !filepath.IsAbs(name):
		return r, fmt.Errorf("command: %s is a relative path; give an absolute one, or a name that is looked up in PATH", name)
	case slices.ContainsFunc(r.Command, func(s string) bool { return strings.ContainsRune(s, 0) }):
		return r, errors.New("command: holds a NUL character")
	case r.Timeout < 0 || r.Timeout > maxReload:
		return r, fmt.Errorf("timeout: must be positive and at most %s", maxReload)
	}
	for _, e := range r.Env {
		if k, _, ok := strings.Cut(e, "="); !ok || k == "" || strings.ContainsRune(e, 0) {
			return r, errors.New("env: want NAME=value")
		}
	}
	if r.Timeout == 0 {
		r.Timeout = defaultReload
	}
	return r, nil
}

// String says what is done, for people. Arguments are left out: they may hold what is nobody's business.
func (r Reload) String() string {
	if r.PIDFile != "" {
		return clip("signal " + r.Signal + " to the process of " + r.PIDFile)
	}
	return clip("command " + r.Command[0])
}

func (r Reload) run(ctx context.Context, env []string) (string, error) {
	if r.PIDFile != "" {
		return r.signal()
	}
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.Command[0], r.Command[1:]...)
	cmd.Env = slices.Concat(minimal(), env, r.Env)
	cmd.Dir = string(filepath.Separator)
	cmd.WaitDelay = lingering
	out := &tail{}
	cmd.Stdout, cmd.Stderr = out, out
	isolate(cmd)
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it ended well and left a child with its output, as scripts that start servers do
	}
	words := clip(hide(out.String()))
	if err == nil {
		if words == "" {
			return "the command ended with status 0", nil
		}
		return clip("the command ended with status 0: " + words), nil
	}
	t := &assure.Trouble{Reason: assure.InstallFailed, Class: assure.TroubleBroken, Action: "reload", Scope: clip(r.Command[0])}
	t.Remedy = "Run the reload command by hand on this machine, mend what it complains of, then renew again"
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		t.Class = assure.TroubleTransient
		t.Detail = "the reload command did not end in time and was stopped"
		t.Happened = true // what it did before is not known
	case errors.As(err, &exit):
		t.Detail = "the reload command ended with " + exit.String()
	default:
		t.Detail = "the reload command could not be started: " + startErr(err)
		t.Remedy = "Correct the command in the configuration, or install the program, then renew again"
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, exec.ErrNotFound):
			t.Class = assure.TroubleMissing
		case errors.Is(err, fs.ErrPermission):
			t.Class, t.Identity = assure.TroubleDenied, whoami()
		}
	}
	if words != "" {
		t.Detail += ": " + words
	}
	t.Detail = clip(t.Detail)
	return "", t
}

func startErr(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	var ee *exec.Error
	if errors.As(err, &ee) {
		return ee.Err.Error()
	}
	return err.Error()
}

// minimal is the environment without which programs find nothing. The process's own is not handed on: secrets may be in it.
func minimal() []string {
	if runtime.GOOS == "windows" {
		return []string{"PATH=" + os.Getenv("PATH"), "SYSTEMROOT=" + os.Getenv("SYSTEMROOT")}
	}
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}
}

// tail keeps the end of what is written to it: errors come last.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	if len(p) > maxOutput {
		p = p[len(p)-maxOutput:]
	}
	t.b = append(t.b, p...)
	if over := len(t.b) - maxOutput; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return n, nil
}

// String gives the last lines that fit a step's detail.
func (t *tail) String() string {
	const room = maxDetail - 100
	s := strings.TrimSpace(string(t.b))
	if strings.Contains(s, "PRIVATE KEY") || len(s) <= room {
		return s // what holds a key is hidden whole; see hide
	}
	return "…" + s[len(s)-room:]
}

// maxPID is the largest process number there can be on Linux (PID_MAX_LIMIT, include/linux/threads.h); others have smaller ones.
const maxPID = 1 << 22

// parsePID reads a pid file: a number, and whatever the server wrote on further lines.
func parsePID(data []byte) (int, error) {
	line, _, _ := strings.Cut(string(data), "\n")
	n, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || n <= 1 || n > maxPID {
		return 0, errors.New("holds no process number")
	}
	return n, nil
}

func (r Reload) signal() (string, error) {
	fail := func(class assure.TroubleClass, format string, args ...any) error {
		t := trouble(class, clip(fmt.Sprintf(format, args...)))
		t.Action, t.Scope = "signal "+r.Signal, r.PIDFile
		t.Remedy = "See whether the server runs and where it writes its pid file, then renew again"
		return t
	}
	f, err := os.OpenFile(r.PIDFile, os.O_RDONLY|nonblock, 0)
	if err != nil {
		t := fileTrouble("open", r.PIDFile, err)
		t.Remedy = "See whether the server runs and where it writes its pid file, then renew again"
		return "", t
	}
	defer f.Close() //nolint:errcheck // opened for reading
	fi, err := f.Stat()
	if err != nil {
		return "", fileTrouble("look at", r.PIDFile, err)
	}
	if !fi.Mode().IsRegular() {
		return "", fail(assure.TroubleInvalid, "%s is no regular file", r.PIDFile)
	}
	if runtime.GOOS != "windows" && fi.Mode().Perm()&0o002 != 0 {
		return "", fail(assure.TroubleForbidden, "everybody may write %s, so it is not believed", r.PIDFile)
	}
	buf := make([]byte, 64)
	n, _ := f.Read(buf)
	pid, err := parsePID(buf[:n])
	if err != nil {
		return "", fail(assure.TroubleInvalid, "%s %v", r.PIDFile, err)
	}
	who := "process " + strconv.Itoa(pid)
	if r.Process != "" {
		name, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
		if err != nil {
			return "", fail(assure.TroubleMissing, "%s of %s does not run", who, r.PIDFile)
		}
		// The kernel keeps 15 characters of a name (TASK_COMM_LEN, include/linux/sched.h).
		if got := strings.TrimSpace(string(name)); got != r.Process[:min(len(r.Process), 15)] {
			return "", fail(assure.TroubleInvalid, "%s of %s is %q and not %q", who, r.PIDFile, clip(got), r.Process)
		}
		who += " (" + r.Process + ")"
	}
	if err := send(pid, r.Signal); err != nil {
		switch {
		case errors.Is(err, os.ErrProcessDone):
			return "", fail(assure.TroubleMissing, "%s of %s does not run", who, r.PIDFile)
		case errors.Is(err, fs.ErrPermission):
			t := assure.TroubleOf(fail(assure.TroubleDenied, "%s may not signal %s", whoami(), who), assure.InstallFailed)
			t.Identity = whoami()
			t.Remedy = "Run notafter as root or as the server's user, or use a reload command that may"
			return "", t
		}
		return "", fail(assure.TroubleBroken, "signal %s: %v", who, err)
	}
	return who + " was sent " + r.Signal, nil
}
