// Command books writes the tables of codec's code books: the Lloyd–Max levels of the unit Gaussian (nuq.bin, 2 to 8 bits) and the k-means
// points of the Gaussian in the plane (vq2.bin, 3 to 12 bits for two weights). "go run ./internal/books" in the root of the repository.
//
// Tables are little-endian int16 in units of 1/4096, one width after another. They are constants of the format: what is committed stays.
package main

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
)

// unit is what an entry of the tables counts.
const unit = 1.0 / 4096

func main() {
	dir := flag.String("dir", "codec/tables", "directory to write to")
	flag.Parse()
	if err := write(*dir); err != nil {
		fmt.Fprintln(os.Stderr, "books:", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	var nuq, vq2 []byte
	for bits := 2; bits <= 8; bits++ {
		levels, mse := lloydMax(1 << bits)
		fmt.Printf("nuq %d bits: mean squared error %.6f\n", bits, mse)
		nuq = appendTable(nuq, levels)
	}
	for bits := 3; bits <= 12; bits++ {
		points, mse := kMeans(1 << bits)
		fmt.Printf("vq2 %.1f bits: mean squared error %.6f\n", float64(bits)/2, mse)
		vq2 = appendTable(vq2, points)
	}
	if err := os.WriteFile(filepath.Join(dir, "nuq.bin"), nuq, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "vq2.bin"), vq2, 0o644)
}

func appendTable(data []byte, values []float64) []byte {
	for _, v := range values {
		data = binary.LittleEndian.AppendUint16(data, uint16(int16(math.RoundToEven(v/unit))))
	}
	return data
}
