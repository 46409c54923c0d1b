package arch

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// allowed lists, for each package of the module, the packages of the module that its non-test files may import. A new
// package adds its line here and in ARCHITECTURE.md.
var allowed = map[string][]string{
	"internal/par":         {},
	"internal/sharedtest":  {},
	"internal/human":       {},
	"internal/lock":        {},
	"internal/arch":        {},
	"internal/plane":       {},
	"internal/books":       {"internal/plane"},
	"kernels":              {},
	"internal/ordered":     {},
	"tokenizer":            {"internal/ordered"},
	"tensor":               {"kernels"},
	"formats":              {"tensor"},
	"trellis":              {"kernels", "internal/par"},
	"codec":                {"tensor", "kernels", "linalg", "internal/plane", "trellis", "internal/par"},
	"linalg":               {"kernels", "internal/par"},
	"codec/codectest":      {"codec", "tensor", "kernels"},
	"calib":                {"tensor", "kernels", "linalg", "formats", "internal/par"},
	"approx":               {"tensor", "linalg", "codec", "calib", "internal/par"},
	"quantizers":           {"tensor", "kernels", "linalg", "codec", "calib", "approx", "internal/par"},
	"pruning":              {"tensor", "kernels", "linalg", "codec", "calib", "approx", "internal/par"},
	"lowrank":              {"tensor", "kernels", "linalg", "codec", "calib", "approx", "internal/par"},
	"model":                {"tensor", "kernels", "codec", "formats", "internal/par"},
	"formats/interop":      {"tensor", "kernels", "tokenizer", "formats", "codec", "model", "internal/par"},
	"checkpoint":           {"tensor", "kernels", "tokenizer", "formats", "codec", "model", "formats/interop", "internal/par"},
	"observe":              {"tensor", "tokenizer", "formats", "calib", "model", "formats/interop", "checkpoint", "internal/lock"},
	"gradient":             {"tensor", "kernels", "calib", "model", "internal/par"},
	"plan":                 {"tensor", "formats", "codec", "calib", "approx", "quantizers", "pruning", "lowrank", "model", "checkpoint"},
	"compress":             {"tensor", "kernels", "tokenizer", "formats", "codec", "calib", "approx", "quantizers", "model", "formats/interop", "checkpoint", "plan", "observe", "internal/par", "internal/lock"},
	"eval":                 {"tensor", "kernels", "linalg", "tokenizer", "codec", "model", "checkpoint", "internal/par"},
	"vocab":                {"tensor", "tokenizer", "formats", "model", "checkpoint", "internal/par", "internal/ordered"},
	"structure":            {"tensor", "kernels", "linalg", "codec", "calib", "pruning", "model", "checkpoint", "observe", "eval", "internal/par"},
	"stack":                {"tensor", "kernels", "formats", "codec", "calib", "approx", "quantizers", "lowrank", "model", "checkpoint", "observe", "internal/par", "internal/lock"},
	"internal/traintables": {"kernels", "trellis", "internal/par"},
	"internal/synth":       {"tensor", "internal/synth/llama"},
	"internal/synth/llama": {"tensor", "tokenizer", "formats", "internal/par"},
	"internal/demo":        {"tensor", "kernels", "tokenizer", "formats", "codec", "calib", "approx", "quantizers", "model", "formats/interop", "checkpoint", "plan", "compress", "eval", "internal/par", "internal/human"},
	"cmd/pith":             {"tensor", "kernels", "linalg", "tokenizer", "formats", "codec", "calib", "approx", "quantizers", "pruning", "model", "formats/interop", "checkpoint", "observe", "gradient", "plan", "compress", "eval", "structure", "stack", "vocab", "internal/par", "internal/human", "internal/demo"},
}

const maxLines = 500

func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// walk calls f with the content of every file of the tree that keep accepts; .git, testdata and the generators' own module are left out.
func walk(t *testing.T, keep func(rel string) bool, f func(rel string, src []byte)) {
	t.Helper()
	top := root(t)
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == ".git" || name == "testdata" || strings.HasPrefix(name, "_") {
				return filepath.SkipDir
			}
			return nil
		}
		if rel = filepath.ToSlash(rel); !keep(rel) {
			return nil
		}
		src, err := os.ReadFile(path)
		if err == nil {
			f(rel, src)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func goFile(rel string) bool { return strings.HasSuffix(rel, ".go") }

func productFile(rel string) bool { return goFile(rel) && !strings.HasSuffix(rel, "_test.go") }

func generated(src []byte) bool {
	head, _, _ := strings.Cut(string(src), "\npackage ")
	return strings.Contains(head, "Code generated")
}

func parse(t *testing.T, rel string, src []byte, mode parser.Mode) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), rel, src, mode)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestImportsOnlyGoUp(t *testing.T) {
	seen := map[string]bool{}
	walk(t, goFile, func(rel string, src []byte) {
		pkg := filepath.ToSlash(filepath.Dir(rel))
		may, known := allowed[pkg]
		if !known && !seen[pkg] {
			t.Errorf("package %s has no line in the import table of internal/arch", pkg)
		}
		seen[pkg] = true
		if !known || !productFile(rel) {
			return
		}
		for _, imp := range parse(t, rel, src, parser.ImportsOnly).Imports {
			path := strings.Trim(imp.Path.Value, `"`)
			if path == "C" {
				t.Errorf("%s: cgo is not used in this module", rel)
			}
			if dep, ours := strings.CutPrefix(path, "pith/"); ours && !slices.Contains(may, dep) {
				t.Errorf("%s: package %s may not import %s (see ARCHITECTURE.md)", rel, pkg, dep)
			}
		}
	})
	for pkg := range allowed {
		if !seen[pkg] {
			t.Errorf("the import table of internal/arch names %s, which has no Go file", pkg)
		}
	}
}

func TestFilesAreOneIdeaLong(t *testing.T) {
	walk(t, productFile, func(rel string, src []byte) {
		if n := strings.Count(string(src), "\n"); n > maxLines && !generated(src) {
			t.Errorf("%s has %d lines; %d is the limit: split it by idea", rel, n, maxLines)
		}
	})
}

func TestNoInitFunctionsAndNoVagueRooms(t *testing.T) {
	vague := []string{"utils", "util", "common", "base", "manager", "factory", "helper", "helpers", "misc"}
	walk(t, goFile, func(rel string, src []byte) {
		for part := range strings.SplitSeq(strings.TrimSuffix(rel, ".go"), "/") {
			if slices.Contains(vague, part) {
				t.Errorf("%s: %q says nothing about what is inside", rel, part)
			}
		}
		if generated(src) {
			return
		}
		for _, d := range parse(t, rel, src, 0).Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s: init functions hide what runs at start", rel)
			}
		}
	})
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	documented := map[string]bool{}
	walk(t, productFile, func(rel string, src []byte) {
		file := parse(t, rel, src, parser.PackageClauseOnly|parser.ParseComments)
		documented[filepath.Dir(rel)] = documented[filepath.Dir(rel)] || file.Doc != nil
	})
	for pkg, ok := range documented {
		if !ok {
			t.Errorf("package %s has no package comment", pkg)
		}
	}
}

func TestArchitectureNamesEveryRoom(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root(t), "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range allowed {
		if !strings.Contains(string(doc), "`"+pkg+"`") {
			t.Errorf("ARCHITECTURE.md does not name `%s`", pkg)
		}
	}
}

func TestNoPathsOfOneMachineInTheTree(t *testing.T) {
	machine := regexp.MustCompile(`(^|[^A-Za-z0-9_.])/(work|root|home)/[A-Za-z.]`)
	text := func(rel string) bool {
		return slices.Contains([]string{".go", ".md", ".py", ".sh", ".mod", ".yaml", ".txt", ""}, filepath.Ext(rel)) && rel != "internal/arch/arch_test.go"
	}
	walk(t, text, func(rel string, src []byte) {
		if bytes.IndexByte(src, 0) >= 0 { // a binary, as `go build -o pith` leaves one in the tree
			return
		}
		if loc := machine.FindIndex(src); loc != nil {
			t.Errorf("%s holds a path of one machine: %.40q", rel, src[loc[0]:])
		}
	})
}
