//go:build unix

package install

import (
	"os"
	"os/exec"
	"syscall"
)

func signalOf(name string) (syscall.Signal, bool) {
	switch name {
	case "HUP":
		return syscall.SIGHUP, true
	case "USR1":
		return syscall.SIGUSR1, true
	case "USR2":
		return syscall.SIGUSR2, true
	case "TERM":
		return syscall.SIGTERM, true
	}
	return 0, false
}

func canSignal(name string) bool {
	_, ok := signalOf(name)
	return ok
}

func send(pid int, name string) error {
	s, _ := signalOf(name)
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	defer p.Release() //nolint:errcheck // nothing is held that could be lost
	return p.Signal(s)
}

// isolate puts the command into a process group of its own, so that when its time is up its children end with it.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
