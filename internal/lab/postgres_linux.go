package lab

import "syscall"

// dieWithParent asks the kernel to end the server when the thread that started it is gone. SIGINT is its fast shutdown.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGINT} }
