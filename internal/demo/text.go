package demo

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// heldOut returns about limit bytes of text that the embedded model was not trained on, and where it comes from: the beginnings of files of the
// installed Go distribution found first below roots, or, where there is none, text that the model itself made.
func heldOut(roots []string, limit int) (text []byte, where string, err error) {
	list, err := embedded.ReadFile("heldout.txt")
	if err != nil {
		return nil, "", err
	}
	var names []string
	for line := range strings.Lines(string(list)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			names = append(names, line)
		}
	}
	for _, root := range roots {
		if text := excerpts(filepath.Join(root, "src"), names, limit); len(text) >= limit/2 {
			return text, "held-out files of " + root, nil
		}
	}
	sample, err := embedded.ReadFile("sample.txt")
	if err != nil {
		return nil, "", errors.New("no Go distribution found to take text from (set GOROOT), and none is embedded")
	}
	return sample[:min(len(sample), limit)], "text sampled from the model (no Go distribution found; perplexity on it flatters)", nil
}

// goRoots lists where the Go distribution may be, likeliest first.
func goRoots(ctx context.Context) []string {
	var roots []string
	if root := os.Getenv("GOROOT"); root != "" {
		roots = append(roots, root)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output(); err == nil {
		roots = append(roots, strings.TrimSpace(string(out)))
	}
	if runtime.GOOS == "windows" {
		return append(roots, `C:\Program Files\Go`)
	}
	return append(roots, "/usr/local/go", "/usr/lib/go", "/opt/homebrew/opt/go/libexec")
}

// excerpts returns an equal share of limit from the beginning of each file below src, whole lines, without licence headers (which the model
// was not trained on either). Files that cannot be read are left out.
func excerpts(src string, names []string, limit int) []byte {
	var all bytes.Buffer
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(src, filepath.FromSlash(name)))
		if err != nil {
			continue
		}
		data = withoutLicence(data)
		if share := limit / len(names); len(data) > share {
			data = data[:share]
			data = data[:bytes.LastIndexByte(data, '\n')+1]
		}
		all.Write(data)
	}
	return all.Bytes()
}

// withoutLicence drops the comment and blank lines of the licence at the top of a Go file.
func withoutLicence(data []byte) []byte {
	for len(data) > 0 {
		line, rest, _ := bytes.Cut(data, []byte("\n"))
		licence := bytes.HasPrefix(line, []byte("// Copyright")) || bytes.HasPrefix(line, []byte("// Use of this source")) ||
			bytes.HasPrefix(line, []byte("// license that can"))
		if !licence && len(bytes.TrimSpace(line)) > 0 {
			break
		}
		data = rest
	}
	return data
}
