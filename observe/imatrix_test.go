package observe

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pith/calib"
)

func TestSetBecomesAnImatrixAndBack(t *testing.T) {
	c := tiny(t)
	b := observer(t, c, Options{Context: 64})
	set := gather(t, b)
	m, err := Imatrix(set)
	if err != nil {
		t.Fatal(err)
	}
	if want := 3*7 + 1; len(m.Entries) != want {
		t.Errorf("%d entries, want %d", len(m.Entries), want)
	}
	for _, name := range []string{"i.gguf", "i.dat"} {
		path := filepath.Join(t.TempDir(), name)
		if err := m.Write(path); err != nil {
			t.Fatal(err)
		}
		back, err := OpenStats(path, c)
		if err != nil {
			t.Fatal(err)
		}
		for _, site := range set.Sites()[1:] {
			got, err := back.For(site.Weights[0], site.Features, calib.Gram)
			if err != nil || got == nil {
				t.Fatalf("%s: %s: %v, %v", name, site.Name, got, err)
			}
			want, _ := set.Stats(site.Name, calib.Gram)
			x, y := got.Importance(), want.Importance()
			for i := range y {
				if d := x[i] - y[i]; d > 1e-6*y[i] || -d > 1e-6*y[i] {
					t.Fatalf("%s: %s: importance of feature %d is %v, want %v", name, site.Name, i, x[i], y[i])
				}
			}
			if again, _ := back.SiteOf(site.Weights[len(site.Weights)-1]); !slices.Equal(again.Weights, site.Weights) {
				t.Errorf("%s: weights %v, want %v", site.Name, again.Weights, site.Weights)
			}
		}
	}
}

func TestStatisticsOfTwoFormsAreOpenedAndOthersRefused(t *testing.T) {
	c := tiny(t)
	b := observer(t, c, Options{Context: 64})
	path := filepath.Join(t.TempDir(), "stats")
	set := gather(t, b)
	if err := set.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := OpenStats(path, c)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	if len(got.Sites()) != 3*4+2 {
		t.Errorf("sites %v", got.Sites())
	}
	if _, err := OpenStats(filepath.Join(c.Dir(), "config.json"), c); err == nil {
		t.Error("config.json was taken for statistics")
	}
	other := &calib.Imatrix{Entries: []calib.ImatrixEntry{{Name: "blk.0.attn_q.weight", Sums: make([]float32, 7), Counts: []float32{1}}}}
	if _, err := FromImatrix(other, b.Config(), c.Names()); err == nil || !strings.Contains(err.Error(), "another model") {
		t.Errorf("another width: %v", err)
	}
}
