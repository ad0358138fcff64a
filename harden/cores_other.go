//go:build !unix

package harden

func forbidCores() error { return nil }
