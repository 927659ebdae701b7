//go:build unix && !linux

package lab

import "syscall"

// dieWithParent has nothing to ask for on this system.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
