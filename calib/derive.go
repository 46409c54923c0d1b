package calib

import "sync"

// derived is a value made from statistics, once.
type derived struct {
	once  sync.Once
	value any
	err   error
}

// Derive returns what make makes of s, which it calls at most once for a key: factors, rotated copies, whatever several weights that share
// the input would otherwise compute again. It is safe for concurrent use; what is being made is waited for. New tokens drop it all.
func (s *Stats) Derive(key string, make func() any) any {
	value, _ := s.TryDerive(key, func() (any, error) { return make(), nil })
	return value
}

// TryDerive is Derive of what may fail, because its maker is told to stop. An error is that caller's only: whoever waited makes the value itself.
func (s *Stats) TryDerive(key string, make func() (any, error)) (any, error) {
	for {
		d := s.entry(key)
		mine := false
		d.once.Do(func() {
			mine = true
			if d.value, d.err = make(); d.err != nil {
				s.drop(key, d)
			}
		})
		if d.err == nil || mine {
			return d.value, d.err
		}
	}
}

// entry returns the value of a key, made or not.
func (s *Stats) entry(key string) *derived {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.derived == nil {
		s.derived = map[string]*derived{}
	}
	d := s.derived[key]
	if d == nil {
		d = &derived{}
		s.derived[key] = d
	}
	return d
}

// drop forgets d, if it is still the value of key.
func (s *Stats) drop(key string, d *derived) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.derived[key] == d {
		delete(s.derived, key)
	}
}

// forget drops what was derived from other sums.
func (s *Stats) forget() {
	s.mu.Lock()
	s.derived = nil
	s.mu.Unlock()
}
