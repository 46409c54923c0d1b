// Command _asm writes the assembly of package kernels and its Go declarations: "go run ." in this directory.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
	"github.com/mmcloughlin/avo/reg"
)

// families is every generated file pair: <name>_amd64.s and <name>_amd64.go.
var families = []struct {
	name string
	emit func(*build.Context)
}{
	{"asm_gemm", gemm},
	{"asm_gemm64", gemm64},
	{"asm_vector", vector},
	{"asm_convert", convert},
	{"asm_matvec", matvec},
	{"asm_packed", packed},
	{"asm_q8", quantize},
	{"asm_encode", encode},
	{"asm_exp", exponential},
	{"asm_viterbi", viterbi},
	{"asm_hadamard", hadamard},
	{"asm_trellis", trellis},
	{"asm_sparse", sparse},
	{"asm_rotate64", rotate64},
	{"asm_tables", tables},
	{"asm_sign", sign},
	{"asm_rows64", rows64},
}

func main() {
	out := flag.String("dir", "..", "directory to write to")
	flag.Parse()
	if err := generate(*out); err != nil {
		fmt.Fprintln(os.Stderr, "_asm:", err)
		os.Exit(1)
	}
}

// generate builds all families in memory before it writes any file, so that a failure leaves the old ones in place.
func generate(dir string) error {
	files := map[string][]byte{}
	for _, f := range families {
		c := build.NewContext()
		c.Package("pith/kernels/_asm")
		c.ConstraintExpr("!noasm")
		f.emit(c)
		file, err := c.Result()
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		if err := pass.Compile.Execute(file); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		if err := checkRegisters(file); err != nil {
			return err
		}
		cfg := printer.Config{Name: "avo", Argv: []string{"go", "run", "kernels/_asm"}, Pkg: "kernels"}
		asm, err := printer.NewGoAsm(cfg).Print(file)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		stubs, err := printer.NewStubs(cfg).Print(file)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		files[f.name+"_amd64.s"], files[f.name+"_amd64.go"] = asm, stubs
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// checkRegisters refuses functions for AVX2 (all whose names do not have 512) that use what only AVX-512 has: registers above
// 15, mask registers, 64-byte vectors. The assembler would encode them without a word.
func checkRegisters(file *ir.File) error {
	for _, f := range file.Functions() {
		if strings.Contains(f.Name, "512") {
			continue
		}
		for _, isa := range f.ISA {
			if strings.HasPrefix(isa, "AVX512") {
				return fmt.Errorf("%s: needs %s, which is not of AVX2's level", f.Name, isa)
			}
		}
		for _, i := range f.Instructions() {
			for _, r := range i.Registers() {
				p := reg.ToPhysical(r)
				vector := r.Kind() == reg.KindVector
				if p != nil && (vector && (p.PhysicalIndex() > 15 || r.Size() > 32) || r.Kind() == reg.KindOpmask) {
					return fmt.Errorf("%s: %s uses %s, which AVX2 does not have", f.Name, i.Opcode, p.Asm())
				}
			}
		}
	}
	return nil
}
