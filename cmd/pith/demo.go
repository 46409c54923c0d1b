package main

import (
	"github.com/spf13/cobra"

	"pith/internal/demo"
)

func demoCommand(s streams) *cobra.Command {
	var out string
	var o demo.Options
	var asJSON bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Do the main job on a small embedded model",
		Long: `Unpacks a small trained model that is part of this program, shows it, compresses it at several settings, writes the artifacts, opens
them again from disk and evaluates each against the original. Takes under a minute; needs no network.`,
		Example: "  pith demo\n  pith demo -o /tmp/pith-demo --codecs q8_0,q4_k",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			w := s.out
			if asJSON {
				w = s.err
			}
			rows, err := demo.Run(c.Context(), out, w, o)
			if err != nil || !asJSON {
				return err
			}
			return printJSON(s.out, rows)
		},
	}
	f := c.Flags()
	f.StringVarP(&out, "output", "o", "pith-demo", "directory for the model and the artifacts")
	f.StringSliceVar(&o.Codecs, "codecs", nil, "codecs to try (default: a choice from 8 to 2 bits)")
	workersFlag(c, &o.Workers)
	jsonFlag(c, &asJSON)
	return c
}
