// Command traintables trains the tables of values of the trellis codes on a unit Gaussian and writes them to a directory, where
// package trellis embeds them. The same arguments give the same bytes on any number of processors.
//
//	go run ./internal/traintables -o trellis/tables                       # all tables, hours
//	go run ./internal/traintables -o trellis/tables -codes lut8 -rates 2  # one, the others of its file stay
package main

import (
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"pith/trellis"
)

func main() {
	dir := flag.String("o", "", "directory of tables, required")
	names := flag.String("codes", "lut7,lut8,lut9,lut10,lut11,lut12,lut14,lut16,hash16,hyb", "codes to train")
	rates := flag.String("rates", "", "rates to train, such as 2,2.25 (default: all)")
	effort := flag.Int("effort", 2, "multiplies the number of rounds")
	workers := flag.Int("workers", runtime.GOMAXPROCS(0), "goroutines")
	flag.Parse()
	if err := run(*dir, *names, *rates, *effort, *workers); err != nil {
		fmt.Fprintln(os.Stderr, "traintables:", err)
		os.Exit(1)
	}
}

func run(dir, names, rates string, effort, workers int) error {
	if dir == "" {
		return errors.New("no directory to write to; use -o trellis/tables")
	}
	chosen := trellis.TrainedRates()
	if rates != "" {
		chosen = nil
		for s := range strings.SplitSeq(rates, ",") {
			r, err := trellis.ParseRate(s)
			if err != nil {
				return err
			}
			chosen = append(chosen, r)
		}
	}
	for name := range strings.SplitSeq(names, ",") {
		c, err := trellis.Lookup(name)
		if err != nil {
			return err
		}
		path := filepath.Join(dir, name+".bin")
		if name == "hyb" {
			err = os.WriteFile(path, hybTables(workers), 0o644)
		} else {
			err = trainCode(path, c, chosen, effort, workers)
		}
		if err != nil {
			return err
		}
	}
	return writeSums(dir)
}

// writeSums writes the SHA-256 of every file of tables to SHA256SUMS, which a test of package trellis compares.
func writeSums(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.bin"))
	if err != nil {
		return err
	}
	var list []byte
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		list = fmt.Appendf(list, "%x  %s\n", sha256.Sum256(data), filepath.Base(f))
	}
	return os.WriteFile(filepath.Join(dir, "SHA256SUMS"), list, 0o644)
}

// trainCode trains c's tables at the given rates and writes each into the file at path as soon as it is made.
func trainCode(path string, c *trellis.Code, rates []trellis.Rate, effort, workers int) error {
	file, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if n := c.TablesSize(); len(file) != n {
		file = make([]byte, n)
	}
	var known [][]uint16
	for _, r := range rates {
		if c.Check(r) != nil {
			continue
		}
		begin := time.Now()
		if len(known) > 0 && c.TableBits(r) != len(known[0]) {
			known = nil
		}
		table, mse := train(c, r, budgetOf(c, r, effort), known, workers)
		if known = nil; c.Linear() {
			known = [][]uint16{table.Rows}
		}
		c.PutTable(file, r, table)
		if err := os.WriteFile(path, file, 0o644); err != nil {
			return err
		}
		fmt.Printf("%s %s: mse %.6f, %.3f dB above the bound, gain %.5f, %s\n", c.Name(), r, mse, trellis.Gap(mse, r), table.Gain, time.Since(begin).Round(time.Second))
	}
	return nil
}
