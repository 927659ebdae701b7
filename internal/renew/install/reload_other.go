//go:build !unix

package install

import (
	"errors"
	"os/exec"
)

func canSignal(string) bool { return false }

func send(int, string) error { return errors.New("signals cannot be sent here") }

func isolate(*exec.Cmd) {}
