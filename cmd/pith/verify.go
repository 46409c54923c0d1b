package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"pith/checkpoint"
	"pith/compress"
	"pith/internal/human"
)

func verifyCommand(s streams) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "verify ARTIFACT",
		Short: "Check an artifact or a stack completely",
		Long: `Reads a Pith artifact or stack from end to end: the SHA-256 of every file and of every tensor, that all weights decode to finite numbers, and that
their shapes are those of config.json. A stack that was cut is whole up to
its last whole block. Exit code 0: whole; 1: damaged or unfinished; 2: not an artifact.`,
		Example: "  pith verify out\n  pith verify out --json",
		Args:    one("ARTIFACT"),
		RunE: func(c *cobra.Command, args []string) error {
			v, err := compress.VerifyContext(c.Context(), args[0])
			if err != nil && isArtifact(args[0]) && c.Context().Err() == nil {
				if asJSON {
					err = errors.Join(err, printJSON(s.out, verdict{OK: false, Problem: oneLine(err.Error())}))
				}
				return errors.Join(err, errNegative)
			}
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(s.out, verdict{OK: true, Verified: &v})
			}
			_, err = fmt.Fprintf(s.out, "whole: %d files, %s weights in %s of tensors\n", v.Files, human.Count(v.Weights), human.ExactSize(v.TensorBytes))
			return err
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

// verdict is what verify --json prints.
type verdict struct {
	OK      bool   `json:"ok"`
	Problem string `json:"problem,omitempty"`
	*compress.Verified
}

// isArtifact reports whether dir is an artifact, finished or not, or a stack.
func isArtifact(dir string) bool {
	if checkpoint.IsStack(dir) {
		return true
	}
	for _, name := range []string{checkpoint.ManifestName, checkpoint.PlanName} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}
