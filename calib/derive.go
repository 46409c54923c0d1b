package calib

import "sync"

// derived is a value made from statistics, once.
type derived struct {
	once  sync.Once
	value any
}

// Derive returns what make makes of s, which it calls at most once for a key: factors, rotated copies, whatever several weights that share
// the input would otherwise compute again. It is safe for concurrent use; what is being made is waited for. New tokens drop it all.
func (s *Stats) Derive(key string, make func() any) any {
	s.mu.Lock()
	if s.derived == nil {
		s.derived = map[string]*derived{}
	}
	d := s.derived[key]
	if d == nil {
		d = &derived{}
		s.derived[key] = d
	}
	s.mu.Unlock()
	d.once.Do(func() { d.value = make() })
	return d.value
}

// forget drops what was derived from other sums.
func (s *Stats) forget() {
	s.mu.Lock()
	s.derived = nil
	s.mu.Unlock()
}
