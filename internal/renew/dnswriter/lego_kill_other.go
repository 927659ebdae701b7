//go:build !unix

package dnswriter

import "os/exec"

func apart(*exec.Cmd) {}

// killAll kills the child. What the child started lives on here: there are no process groups as on Unix.
func killAll(cmd *exec.Cmd) error { return cmd.Process.Kill() }
