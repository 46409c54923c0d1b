package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"pith/kernels"
	"pith/linalg"
)

// version is the released version; builds between releases add their commit.
const version = "0.1.0"

// buildInfo is what `pith version` prints.
type buildInfo struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Kernels  string `json:"kernels"`          // instruction level in use
	Linalg   string `json:"linalg,omitempty"` // library that decomposes matrices, if it is not pith
}

func readBuildInfo() buildInfo {
	level, _ := kernels.Level() // commands that compute refuse a PITH_CPU that cannot be had
	library, _ := linalg.Library()
	b := buildInfo{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Kernels: level, Linalg: library}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Commit = s.Value[:min(12, len(s.Value))]
			case "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
	}
	return b
}

// String is the line that people see.
func (b buildInfo) String() string {
	commit := b.Commit
	if commit != "" {
		commit = " (" + commit + ")"
	}
	line := fmt.Sprintf("pith %s%s, %s, %s, kernels %s", b.Version, commit, b.Go, b.Platform, b.Kernels)
	if b.Linalg != "" {
		line += ", decompositions " + b.Linalg
	}
	return line
}

func versionCommand(s streams) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  pith version\n  pith version --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			b := readBuildInfo()
			if asJSON {
				return printJSON(s.out, b)
			}
			_, err := fmt.Fprintln(s.out, b)
			return err
		},
	}
	jsonFlag(c, &asJSON)
	return c
}
