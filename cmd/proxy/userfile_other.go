//go:build !unix

package main

import "io/fs"

// ownFile returns an error if the file may be somebody else's words.
func ownFile(fs.FileInfo) error { return nil }

// ownersFile returns an error if the file is not the own user's.
func ownersFile(fs.FileInfo) error { return nil }
