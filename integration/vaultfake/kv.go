package vaultfake

import (
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// versions are those of one secret of KV version 2; the first is version 1.
type versions struct {
	mount string
	all   []version
}

type version struct {
	data      map[string]any
	created   time.Time
	deleted   time.Time // zero: it is not
	destroyed bool
}

// PutKV1 writes a secret of KV version 1.
func (s *Server) PutKV1(at string, data map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.v1[at] = maps.Clone(data)
}

// PutKV2 writes another version of a secret of KV version 2, and returns its number.
func (s *Server) PutKV2(mount, name string, data map[string]any) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := mount + "/data/" + name
	v := s.v2[at]
	if v == nil {
		v = &versions{mount: mount}
		s.v2[at] = v
	}
	v.all = append(v.all, version{data: maps.Clone(data), created: s.now()})
	return len(v.all)
}

// DeleteKV2 deletes a version, which can be undone.
func (s *Server) DeleteKV2(mount, name string, number int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.v2[mount+"/data/"+name].all[number-1].deleted = s.now()
}

// DestroyKV2 deletes a version for good.
func (s *Server) DestroyKV2(mount, name string, number int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.v2[mount+"/data/"+name].all[number-1].destroyed = true
}

// serve answers with one version; the empty one is the last.
func (v *versions) serve(w http.ResponseWriter, which string) {
	number := len(v.all)
	if which != "" && which != "0" {
		number, _ = strconv.Atoi(which)
	}
	if number < 1 || number > len(v.all) {
		refuse(w, http.StatusNotFound)
		return
	}
	one := v.all[number-1]
	meta := map[string]any{"created_time": one.created.UTC().Format(time.RFC3339Nano), "custom_metadata": nil,
		"deletion_time": "", "destroyed": one.destroyed, "version": number}
	status, data := http.StatusOK, any(one.data)
	if !one.deleted.IsZero() {
		meta["deletion_time"] = one.deleted.UTC().Format(time.RFC3339Nano)
	}
	if one.destroyed || !one.deleted.IsZero() {
		status, data = http.StatusNotFound, nil
	}
	answer(w, status, response{Data: map[string]any{"data": data, "metadata": meta}, Mount: "kv"})
}

// lacksData reports whether a path leads into KV version 2 without being one of its data. It is
// called with s.mu held.
func (s *Server) lacksData(at string) bool {
	for _, v := range s.v2 {
		rest, ok := strings.CutPrefix(at, v.mount+"/")
		if ok && !strings.HasPrefix(rest, "data/") {
			return true
		}
	}
	return false
}
