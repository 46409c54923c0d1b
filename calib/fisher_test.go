package calib

import (
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func fisherSet(t *testing.T, text string, factor float64) *Set {
	t.Helper()
	s := testSet(t, text, 3)
	for weight, f := range map[string]*Fisher{
		"q.weight":    {Rows: []float64{1 * factor, 2, 0}, Cols: []float64{3, 1e300}},
		"down.weight": {Rows: []float64{0.1}, Cols: []float64{5 * factor}},
	} {
		if err := s.AddFisher(weight, f); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func saved(t *testing.T, s *Set) *Set {
	t.Helper()
	path := filepath.Join(t.TempDir(), "stats")
	if err := s.Save(path); err != nil {
		t.Fatal(err)
	}
	back, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { back.Close() })
	return back
}

func TestSquaredGradientsAreKeptMergedAndJoined(t *testing.T) {
	a, b := saved(t, fisherSet(t, "a", 1)), saved(t, fisherSet(t, "b", 10))
	if len(a.Fishers()) != 2 {
		t.Errorf("shapes %+v", a.Fishers())
	}
	got, err := saved(t, a).FisherOf("q.weight") // a file written from a file
	if want := (&Fisher{[]float64{1, 2, 0}, []float64{3, 1e300}}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v (%v)", got, want, err)
	}
	if f, err := a.FisherOf("k.weight"); f != nil || err != nil {
		t.Errorf("a weight without: %v, %v", f, err)
	}
	sum, err := Merge(a, b)
	if err != nil {
		t.Fatal(err)
	}
	got, err = sum.FisherOf("down.weight")
	if want := (&Fisher{[]float64{0.2}, []float64{55}}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("merged: %+v, want %+v (%v)", got, want, err)
	}
	if sum, err = Merge(a, saved(t, testSet(t, "c", 3))); err != nil || len(sum.Fishers()) != 0 {
		t.Errorf("merged with a set without: %+v (%v)", sum.Fishers(), err)
	}
	whole := NewSet(a.Model, a.Corpora...)
	if err := whole.Join(a); err != nil || len(whole.Fishers()) != 2 {
		t.Errorf("joined: %+v (%v)", whole.Fishers(), err)
	}
	if err := whole.AddFisher("q.weight", &Fisher{[]float64{1}, []float64{1}}); err == nil {
		t.Error("sums of a weight were taken twice")
	}
	if err := whole.AddFisher("v.weight", &Fisher{nil, []float64{1}}); err == nil {
		t.Error("sums of no rows were taken")
	}
}

func TestDamagedSquaredGradientsAreRefused(t *testing.T) {
	s := testSet(t, "a", 1)
	if err := s.AddFisher("q.weight", &Fisher{[]float64{1, -2}, []float64{math.Inf(1)}}); err != nil {
		t.Fatal(err)
	}
	back := saved(t, s)
	if _, err := back.FisherOf("q.weight"); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("negative squares: %v", err)
	}
	path := filepath.Join(t.TempDir(), "stats")
	if err := s.Save(path); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(data), `\"rows\":2`, `\"rows\":9`, 1)
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "squared gradients") {
		t.Errorf("a shape that is not there: %v", err)
	}
}
