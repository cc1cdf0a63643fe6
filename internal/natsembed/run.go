package natsembed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// A server that could not write once, to a full disk for one, takes nothing more for as long as it runs, also when there is space again. It
// is ended then, and another is started on the same store as soon as that can be written. What was accepted is on the disk, and connections
// come back by themselves.

// probeBytes is how much space there must be before a server is started again.
const probeBytes = 4 << 20

// Waits between looks at a disk that takes nothing: the first, doubling, and the longest.
const firstWait, longestWait = 250 * time.Millisecond, 2 * time.Second

// Run keeps the server going until ctx ends, when it returns nil. An error says that the store cannot be read any more.
func (s *Server) Run(ctx context.Context) error {
	for {
		s.mu.Lock()
		log := s.log
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case line := <-log.failed:
			s.cfg.Logger.Error("the queue cannot be written; it goes on by itself when its disk has space: nothing that was accepted is lost", "why", line)
		}
		if err := s.replace(ctx); err != nil {
			return err
		}
	}
}

// replace ends the server and starts another one, once the disk takes what is written to it.
func (s *Server) replace(ctx context.Context) error {
	s.mu.Lock()
	old := s.server
	s.server = nil
	s.mu.Unlock()
	end(old)
	for pause := firstWait; ; pause = min(2*pause, longestWait) {
		err := probe(s.cfg.Dir)
		if err == nil {
			err = s.restart(ctx)
		}
		switch {
		case errors.Is(err, errDamaged):
			return err
		case ctx.Err() != nil:
			return nil
		case err == nil:
			s.cfg.Logger.Info("the queue can be written again")
			return nil
		}
		s.cfg.Logger.Debug("the queue still cannot be written", "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// restart starts a server in the place of the one that was ended.
func (s *Server) restart(ctx context.Context) error {
	srv, log, err := s.start(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil || s.ended {
		end(srv)
		return err
	}
	s.server, s.log = srv, log
	return nil
}

// probe says whether some megabytes can be written into the folder, and stay.
func probe(dir string) error {
	path := filepath.Join(dir, "probe")
	defer os.Remove(path)
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, probeBytes))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("trying the disk of the queue: %w", err)
	}
	return nil
}
