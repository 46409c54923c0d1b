package calib

import (
	"fmt"
	"io"
	"math"
	"slices"

	"pith/formats"
	"pith/tensor"
)

// A file has, for each weight W whose squared gradients it keeps, W|fisher-rows, F64 (rows), and W|fisher-cols, F64 (cols).
const fisherRowsPart, fisherColsPart = "|fisher-rows", "|fisher-cols"

// FisherShape says that a set has the squared gradients of a weight.
type FisherShape struct {
	Weight string `json:"weight"`
	Rows   int    `json:"rows"`
	Cols   int    `json:"cols"`
}

// fisherEntry is one weight's sums, in memory or in a file.
type fisherEntry struct {
	FisherShape
	held *Fisher
	from *setFile
}

// AddFisher appends the squared gradients of a weight, which the set then owns.
func (s *Set) AddFisher(weight string, f *Fisher) error {
	return s.enterFisher(fisherEntry{FisherShape: FisherShape{weight, len(f.Rows), len(f.Cols)}, held: f})
}

func (s *Set) enterFisher(e fisherEntry) error {
	switch {
	case e.Weight == "" || len(e.Weight) > 1000:
		return fmt.Errorf("a weight's name has %d bytes; 1 to 1000 are possible", len(e.Weight))
	case e.Rows < 1 || e.Rows > maxFeatures || e.Cols < 1 || e.Cols > maxFeatures:
		return fmt.Errorf("squared gradients of a weight (%d, %d); 1 to %d rows and columns are possible", e.Rows, e.Cols, maxFeatures)
	}
	if _, ok := s.fisherAt(e.Weight); ok {
		return fmt.Errorf("squared gradients of %q are there twice", e.Weight)
	}
	if s.byFisher == nil {
		s.byFisher = map[string]int{}
	}
	s.byFisher[e.Weight] = len(s.fishers)
	s.fishers = append(s.fishers, e)
	return nil
}

func (s *Set) fisherAt(weight string) (*fisherEntry, bool) {
	i, ok := s.byFisher[weight]
	if !ok {
		return nil, false
	}
	return &s.fishers[i], true
}

// Fishers lists the weights whose squared gradients the set has.
func (s *Set) Fishers() []FisherShape {
	var list []FisherShape
	for _, e := range s.fishers {
		list = append(list, e.FisherShape)
	}
	return list
}

// FisherOf returns the squared gradients of a weight, nil if there are none.
func (s *Set) FisherOf(weight string) (*Fisher, error) {
	e, ok := s.fisherAt(weight)
	if !ok || e.held != nil {
		if !ok {
			return nil, nil
		}
		return e.held, nil
	}
	rows, err := readWords[float64](e.from, weight+fisherRowsPart, e.Rows)
	if err != nil {
		return nil, err
	}
	cols, err := readWords[float64](e.from, weight+fisherColsPart, e.Cols)
	if err != nil {
		return nil, err
	}
	for _, v := range slices.Concat(rows, cols) {
		if !(v >= 0) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("%s: squared gradients of %s add up to %v: %w", e.from.path, weight, v, errDamaged)
		}
	}
	return &Fisher{rows, cols}, nil
}

// tensors lists what a file has for the weight.
func (e *FisherShape) tensors() []formats.Info {
	return []formats.Info{
		{Name: e.Weight + fisherRowsPart, DType: tensor.F64, Shape: []int{e.Rows}, Bytes: 8 * int64(e.Rows)},
		{Name: e.Weight + fisherColsPart, DType: tensor.F64, Shape: []int{e.Cols}, Bytes: 8 * int64(e.Cols)},
	}
}

// lazyFishers lists the tensors of all weights, to be written.
func (s *Set) lazyFishers() []formats.LazyTensor {
	var list []formats.LazyTensor
	for _, e := range s.fishers {
		for i, t := range e.tensors() {
			list = append(list, formats.LazyTensor{Info: t, Write: func(w io.Writer) error {
				f, err := s.FisherOf(e.Weight)
				if err != nil {
					return err
				}
				return writeWords(w, [][]float64{f.Rows, f.Cols}[i])
			}})
		}
	}
	return list
}

// mergeFishers adds up the squared gradients that all sets have.
func (s *Set) mergeFishers(sets []*Set) error {
	for _, shape := range sets[0].Fishers() {
		sum := &Fisher{make([]float64, shape.Rows), make([]float64, shape.Cols)}
		for _, other := range sets {
			e, ok := other.fisherAt(shape.Weight)
			if !ok || e.FisherShape != shape {
				sum = nil
				break
			}
			f, err := other.FisherOf(shape.Weight)
			if err != nil {
				return err
			}
			sum.Add(f)
		}
		if sum == nil {
			continue
		}
		if err := s.AddFisher(shape.Weight, sum); err != nil {
			return err
		}
	}
	return nil
}
