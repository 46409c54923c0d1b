package trellis

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
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
	for _, name := range []string{"lut9", "lut11", "lut12"} {
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
