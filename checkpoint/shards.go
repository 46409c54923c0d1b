package checkpoint

import (
	"errors"
	"fmt"

	"pith/formats"
)

// shards is some shards of an artifact as one source.
type shards struct{ files []*formats.Safetensors }

// add opens another shard.
func (s *shards) add(path string) (*formats.Safetensors, error) {
	f, err := formats.OpenSafetensors(path)
	if err == nil {
		s.files = append(s.files, f)
	}
	return f, err
}

// with returns the shard that holds a tensor.
func (s *shards) with(name string) (*formats.Safetensors, formats.Info, error) {
	for _, f := range s.files {
		if info, err := f.Info(name); err == nil {
			return f, info, nil
		}
	}
	return nil, formats.Info{}, fmt.Errorf("%s: is in none of the shards that are there", name)
}

func (s *shards) Names() (names []string) {
	for _, f := range s.files {
		names = append(names, f.Names()...)
	}
	return names
}

func (s *shards) Info(name string) (formats.Info, error) {
	_, info, err := s.with(name)
	return info, err
}

func (s *shards) ReadAt(name string, buf []byte, off int64) error {
	f, _, err := s.with(name)
	if err != nil {
		return err
	}
	return f.ReadAt(name, buf, off)
}

func (s *shards) Close() error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
