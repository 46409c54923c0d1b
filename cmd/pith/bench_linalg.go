package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"pith/eval"
	"pith/internal/human"
	"pith/linalg"
)

func benchLinalgCommand(s streams) *cobra.Command {
	o := eval.LinalgOptions{Rows: 4096, Cols: 11008}
	var asJSON bool
	c := &cobra.Command{
		Use:   "linalg",
		Short: "Time the decompositions of matrices",
		Long: `Times, in float64 on random matrices of each --size, Cholesky's factorization, all eigenvectors of a symmetric matrix, and all singular
vectors; and the first --rank singular vectors of a 4096 × 11008 matrix. The best of the repeats counts.

PITH_CPU=generic|avx2|avx512 chooses the instructions. Builds with the tag openblas decompose with OpenBLAS where ` + linalg.LibraryVariable + ` says
where it is; "by" is then its name.`,
		Example: "  pith bench linalg --workers 1\n  pith bench linalg --size 2048 --rank 0 --repeats 3",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for _, n := range o.Sizes {
				if n < 1 || n > 1<<14 {
					return fmt.Errorf("--size %d: from 1 to %d are possible", n, 1<<14)
				}
			}
			if o.Rank < 0 || o.Rank > o.Rows || o.Repeats < 1 {
				return errors.New("--rank must be from 0 to 4096, --repeats at least 1")
			}
			list, err := eval.MeasureLinalg(c.Context(), o)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(s.out, list)
			}
			by, _ := linalg.Library()
			if by == "" {
				by = "pith"
			}
			t := human.NewTable("decomposition", ">seconds", "by")
			for _, l := range list {
				t.Add(l.What, fmt.Sprintf("%.3f", l.Seconds), by)
			}
			return t.Print(s.out)
		},
	}
	f := c.Flags()
	f.IntSliceVar(&o.Sizes, "size", []int{512, 1024}, "rows of the square matrices; may be given more than once")
	f.IntVar(&o.Rank, "rank", 256, "singular vectors of the 4096 × 11008 matrix; 0: none")
	f.IntVar(&o.Repeats, "repeats", 1, "times to measure; the best counts")
	workersFlag(c, &o.Workers)
	jsonFlag(c, &asJSON)
	return c
}
