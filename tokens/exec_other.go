//go:build !unix

package tokens

import "os/exec"

// ownGroup does nothing: without process groups the context ends the program alone.
func ownGroup(*exec.Cmd) {}

func killGroup(*exec.Cmd) {}
