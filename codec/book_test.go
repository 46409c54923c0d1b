package codec

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pith/tensor"
)

// gaussianError returns the mean squared error of unit Gaussian weights by the codec called name.
func gaussianError(t *testing.T, name string, n int) float64 {
	t.Helper()
	c, err := Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 9))
	w := tensor.NewMat(n/4096, 4096)
	for i := range w.Data {
		w.Data[i] = float32(rng.NormFloat64())
	}
	g, err := c.Fit(w, nil, FitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	RoundAll(g, w, 2)
	got := tensor.NewMat(w.Rows, w.Cols)
	g.Pack().AddTo(got, 0)
	var sum float64
	for i, v := range w.Data {
		d := float64(v - got.Data[i])
		sum += d * d
	}
	return sum / float64(len(w.Data))
}

// The published errors: of Lloyd–Max (Max 1960), of two-dimensional k-means and of E8P (Q-Palette's and QuIP#'s tables).
func TestBooksHaveThePublishedErrorsOfAGaussian(t *testing.T) {
	n := 1 << 20
	if testing.Short() {
		n = 1 << 18
	}
	for name, want := range map[string]float64{
		"nuq2-grow": .117482, "nuq3-grow": .034548, "nuq4-grow": .009501, "nuq5-grow": .002505, "nuq6-grow": .000644, "nuq7-grow": .000163, "nuq8-grow": .000041,
		"vq2-1.5-grow": .20124, "vq2-2-grow": .1078, "vq2-2.5-grow": .0573, "vq2-3-grow": .02978, "vq2-3.5-grow": .0153, "vq2-4-grow": .00777,
		"vq2-4.5-grow": .00394, "vq2-5-grow": .001985, "vq2-5.5-grow": .00100, "vq2-6-grow": .0005, "e8p-grow": .0911,
	} {
		got := gaussianError(t, name, n)
		t.Logf("%s: %.6f", name, got)
		if got > want*1.012 || got < want*0.97 {
			t.Errorf("%s: mean squared error %.6f, published %.6f", name, got, want)
		}
	}
}

// Exact: no vector of the 65536 is nearer than the one found.
func TestE8PFindsTheNearestVector(t *testing.T) {
	p := newE8P()
	rng := rand.New(rand.NewPCG(2, 9))
	trials := 400
	if testing.Short() {
		trials = 60
	}
	for trial := range trials {
		var x [8]float32
		for i := range x {
			x[i] = float32(rng.NormFloat64() * []float64{1, 1.2, 2, 0.3}[trial%4])
		}
		distance := func(code uint16) (d float64) {
			for i, v := range p.vector(code) {
				d += math.Pow(float64(v)-float64(x[i]), 2)
			}
			return d
		}
		got := distance(p.encode(x[:]))
		for code := range 1 << 16 {
			if d := distance(uint16(code)); d < got-1e-5 {
				t.Fatalf("%v: vector %d is at %g, the one found at %g", x, code, d, got)
			}
		}
	}
}

func TestE8PVectorsAreDistinctPointsOfTheMovedLattice(t *testing.T) {
	p := newE8P()
	if len(p.last) != 29 {
		t.Errorf("%d patterns fill up the 227", len(p.last))
	}
	seen := map[[8]float32]bool{}
	for code := range 1 << 16 {
		v := p.vector(uint16(code))
		if seen[v] {
			t.Fatalf("vector %v has two codes", v)
		}
		seen[v] = true
		shift := float32(-0.25)
		if code>>15 == 1 {
			shift = 0.25
		}
		var sum float64
		for _, c := range v {
			c -= shift
			sum += float64(c)
			if math.Abs(math.Remainder(float64(c), 1)) != 0.5 {
				t.Fatalf("coordinate %g of code %d is not half-odd", c, code)
			}
		}
		if math.Mod(sum, 2) != 0 {
			t.Fatalf("code %d has an odd sum", code)
		}
		if got := p.encode(v[:]); got != uint16(code) {
			t.Fatalf("vector %d is encoded as %d", code, got)
		}
	}
}

func TestNUQLevelsAreMeansOfTheirCellsAndEncodeToThemselves(t *testing.T) {
	for _, b := range nuqBooks() {
		n := 1 << b.width
		levels := make([]float32, n)
		b.decode(levels, counting(n), 1)
		if !slices.IsSorted(levels) {
			t.Errorf("%d bits: levels do not rise", b.width)
		}
		for i, v := range levels {
			if levels[n-1-i] != -v {
				t.Errorf("%d bits: level %d is not mirrored", b.width, i)
			}
			if got := b.encode([]float32{v}); int(got) != i {
				t.Errorf("%d bits: level %d is encoded as %d", b.width, i, got)
			}
			from, to := math.Inf(-1), math.Inf(1)
			if i > 0 {
				from = float64(levels[i-1]+v) / 2
			}
			if i+1 < n {
				to = float64(v+levels[i+1]) / 2
			}
			density := func(x float64) float64 { return math.Exp(-x*x/2) / math.Sqrt(2*math.Pi) }
			mean := (density(from) - density(to)) / ((math.Erfc(from/math.Sqrt2) - math.Erfc(to/math.Sqrt2)) / 2)
			if math.Abs(mean-float64(v)) > 3*tableUnit {
				t.Errorf("%d bits: level %d is %g, the mean of its cell %g", b.width, i, v, mean)
			}
		}
	}
}

func counting(n int) []uint16 {
	codes := make([]uint16, n)
	for i := range codes {
		codes[i] = uint16(i)
	}
	return codes
}

func TestWideCodesComeBackAsPacked(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 9))
	for width := 1; width <= 16; width++ {
		for n := range 70 {
			codes, got := make([]uint16, n), make([]uint16, n)
			for i := range codes {
				codes[i] = uint16(rng.UintN(1 << width))
			}
			data := make([]byte, packedBytes(n, width))
			packWide(data, codes, width)
			unpackWide(got, data, width)
			if !slices.Equal(got, codes) {
				t.Fatalf("%d codes of %d bits come back as %v, were %v", n, width, got, codes)
			}
		}
	}
}
