//go:build !unix

package main

import (
	"errors"
	"os"
	"time"
)

// lockFile locks nothing here.
func lockFile(string, time.Duration) (*os.File, error) { return nil, errors.ErrUnsupported }
