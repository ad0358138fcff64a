package tokens

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// File takes the password from a file: auth=file:/run/secrets/pw. The path is followed anew at each
// call, so that a file that was replaced is seen, also where a directory above it was exchanged by a
// symbolic link, as Kubernetes does.
type File struct {
	Path    string
	Decoder Decoder
}

var _ Source = (*File)(nil)

// Credential returns what the file holds, whoever asks.
func (s *File) Credential(_ context.Context, _ string) (Credential, error) {
	content, err := s.read()
	var cred Credential
	if err == nil {
		cred, err = s.Decoder.Credential(content)
	}
	if err != nil {
		return Credential{}, s.describe(err)
	}
	cred.ID = s.Path
	return cred, nil
}

var (
	errNotRegular = errors.New("not a regular file")
	errTooLarge   = fmt.Errorf("larger than %d KiB, which is no password", maxOutput>>10)
)

func (s *File) read() ([]byte, error) {
	// Looked at before it is opened: opening a named pipe would wait for its writer.
	if info, err := os.Stat(s.Path); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	f, err := os.Open(s.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxOutput+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxOutput {
		return nil, errTooLarge
	}
	return content, nil
}

// describe makes the error that the client gets. A file that is missing or empty is not final: the
// volume may be mounted, or the file be written, a moment later. Everything else needs somebody.
func (s *File) describe(err error) *Error {
	e := &Error{Source: "file:" + s.Path, Err: err, Denied: true}
	if d, ok := errors.AsType[*Error](err); ok { // of the Decoder
		e.Err, e.Advice = d.Err, d.Advice
	}
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		e.Err = pe.Err // the path has been said
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Denied = false
		e.Advice = "check the path, and that the volume with the secret is mounted"
	case errors.Is(err, fs.ErrPermission):
		e.Advice = fmt.Sprintf(`let the user that dbvalet runs as read it: see "ls -l %s" and "id"`, s.Path)
	case errors.Is(err, errEmpty):
		e.Denied = false
		e.Advice = "write the password into the file"
	case errors.Is(err, errNotRegular):
		e.Advice = "name a file that can be read again and again; for a program's output use auth=exec:"
	case errors.Is(err, errTooLarge), errors.Is(err, errNUL):
		e.Advice = "name a file that holds the password and nothing else"
	}
	return e
}
