package trellis

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
)

// The committed tables are those whose errors the documentation states.
func TestTablesHaveTheirChecksums(t *testing.T) {
	list, err := os.ReadFile("tables/SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for lines := bufio.NewScanner(bytes.NewReader(list)); lines.Scan(); n++ {
		want, name, _ := strings.Cut(lines.Text(), "  ")
		data, err := tableFiles.ReadFile("tables/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(data)); got != want {
			t.Errorf("%s has sha256 %s, want %s", name, got, want)
		}
	}
	if files, err := tableFiles.ReadDir("tables"); err != nil || n != len(files) {
		t.Errorf("%d checksums for %d files (%v)", n, len(files), err)
	}
}

// QTIP's hash of a state: bits 6 to 14 of s·(s + 1) choose one of 512 pairs, bit 15 the sign of the first.
func TestHybHashesAsTheOriginal(t *testing.T) {
	for _, want := range []struct {
		s    uint32
		q    int
		pair int
		flip bool
	}{{0, 9, 0, false}, {1, 9, 0, false}, {200, 9, 116, true}, {300, 9, 386, false}, {300, 11, 1547, false}, {0x8000, 9, 0, true}, {0xffff, 9, 0, false}, {0xabcd, 10, 367, false}} {
		if pair, flip := HybIndex(want.s, want.q); pair != want.pair || flip != want.flip {
			t.Errorf("state %#x of 2^%d pairs: pair %d, flip %v; want %d, %v", want.s, want.q, pair, flip, want.pair, want.flip)
		}
	}
}

// Kernels look tables of 256 entries up by half if they are mirrored, as those of the codes that recipes use are.
func TestTablesOf256EntriesAreMirrored(t *testing.T) {
	for _, name := range []string{"lut9", "lut11", "lut12", "lut14", "lut16"} {
		c, err := Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		for r := Rate(48); r <= LargestByteRate; r += 4 {
			lut, _ := c.Bytes(r)
			for i, v := range lut {
				if len(lut) != 256 || v != -lut[255-i] {
					t.Errorf("%s at %s bits: entry %d of %d is %d, that of the other end %d", name, r, i, len(lut), v, lut[len(lut)-1-i])
					break
				}
			}
		}
	}
}

// Values of a table, weighed by the number of their states, are spread about as the Gaussian that they stand for, and wider the
// higher the rate.
func TestTablesCoverTheGaussian(t *testing.T) {
	for _, c := range codes() {
		if !c.trained || c.bits > 12 {
			continue
		}
		for _, r := range TrainedRates() {
			if c.Check(r) != nil {
				continue
			}
			var sum, squares, peak float64
			values := c.Values(r)
			gain := float64(c.Gain(r))
			for _, v := range values {
				x := float64(v) * gain
				sum, squares, peak = sum+x, squares+x*x, max(peak, math.Abs(x))
			}
			n := float64(len(values))
			if mean, spread := sum/n, math.Sqrt(squares/n); math.Abs(mean) > 0.1 || spread < 0.7 || spread > 1.9 || peak < 1.8 || peak > 6 {
				t.Errorf("%s at %s bits: mean %.3f, spread %.3f, largest %.2f", c.name, r, mean, spread, peak)
			}
		}
	}
}

// Rates between those that have tables of their own lie between them in error too, as long as entries are bytes.
func TestErrorsFallWithTheRate(t *testing.T) {
	for _, name := range []string{"lut8", "lut11"} {
		c, err := Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		last := 1.0
		for r := MinRate; r <= LargestByteRate && c.Check(r) == nil; r += 2 {
			mse := GaussianMSE(c, r, 1<<15, 3)
			if mse > last*1.01 {
				t.Errorf("%s: error %.6f at %s bits, %.6f at an eighth less", name, mse, r, last)
			}
			last = mse
		}
	}
}

// At every rate a code of longer states is nearer to the bound.
func TestErrorsFallWithTheStates(t *testing.T) {
	for r := MinRate; r <= LargestByteRate; r += 8 {
		if testing.Short() && r%16 != 0 {
			continue
		}
		last := 1.0
		for _, c := range codes()[:6] {
			if c.Check(r) != nil {
				continue
			}
			mse := GaussianMSE(c, r, 1<<16, 4)
			if mse > last*1.003 {
				t.Errorf("%s at %s bits: error %.6f, %.6f with a bit less of state", c.name, r, mse, last)
			}
			last = mse
		}
	}
}
