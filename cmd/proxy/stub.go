package main

import (
	"log/slog"
	"net/http"

	"dbvalet/config"
)

type sights struct{}

func openSights(*config.Config, *slog.Logger) (*sights, error) { return nil, nil }
func (s *sights) close()                                       {}
func (s *sights) reopen()                                      {}
func (s *sights) reloaded(error)                               {}
func (s *sights) handler() http.Handler                        { return nil }
