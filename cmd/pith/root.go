package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unicode"

	"github.com/spf13/cobra"

	"pith/compress"
	"pith/kernels"
	"pith/linalg"
)

// Exit codes.
const (
	exitOK          = 0
	exitNegative    = 1 // the command worked, and its answer is no: verify found damage
	exitBadInput    = 2 // bad usage or input; nothing was written
	exitInterrupted = 130
)

// errNegative marks an error as a negative result instead of bad input.
var errNegative = errors.New("")

// streams are the standard streams of one run of the program.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// run executes one command line and returns the exit code. Errors are one line on s.err.
func run(ctx context.Context, args []string, s streams) int {
	root := rootCommand(s)
	root.SetArgs(args)
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil, errors.Is(err, syscall.EPIPE) && !errors.Is(err, errNegative):
		return exitOK // whoever read the output, such as head, had enough of it
	case ctx.Err() != nil && errors.Is(err, ctx.Err()) && !errors.Is(err, compress.ErrInterrupted):
		fmt.Fprintln(s.err, "pith: interrupted")
		return exitInterrupted
	}
	fmt.Fprintln(s.err, "pith: "+oneLine(err.Error()))
	if ctx.Err() != nil {
		return exitInterrupted
	}
	if errors.Is(err, errNegative) {
		return exitNegative
	}
	return exitBadInput
}

// maxMessage bounds a message in bytes: damaged files hold names of megabytes.
const maxMessage = 1200

// oneLine joins the lines of a message, without control characters, and cuts the middle out of an endless one: the file stands at its
// beginning, the remedy at its end.
func oneLine(s string) string {
	s = strings.Join(strings.FieldsFunc(s, unicode.IsControl), " ")
	if len(s) > maxMessage {
		s = strings.ToValidUTF8(s[:maxMessage*2/3], "") + " … " + strings.ToValidUTF8(s[len(s)-maxMessage/3:], "")
	}
	return s
}

func rootCommand(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "pith",
		Short: "Compress language models, and prove what it cost",
		Long: `Pith takes a checkpoint (Hugging Face safetensors or GGUF), quantizes it to a budget, measures what that cost
in perplexity and KL divergence, and runs the result. Everything is in this one program; it needs no Python and no GPU.

Exit codes: 0 done; 1 the answer is no (verify found damage); 2 bad usage or input; 130 interrupted.`,
		Example: `  pith demo
  pith inspect MODEL
  pith compress MODEL --codec int4-g128 -o out
  pith eval out --base MODEL --text held-out.txt
  pith run out --prompt "Once upon a time"`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		Version:           readBuildInfo().String(),
		PersistentPreRunE: func(c *cobra.Command, _ []string) error { return checkMachine(c) },
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.AddCommand(
		demoCommand(s),
		inspectCommand(s),
		planCommand(s),
		sampleCommand(s),
		calibrateCommand(s),
		layersCommand(s),
		compressCommand(s),
		stackCommand(s),
		evalCommand(s),
		runCommand(s),
		benchCommand(s),
		trimCommand(s),
		vocabCommand(s),
		verifyCommand(s),
		convertCommand(s),
		versionCommand(s),
	)
	return root
}

// workersFlag adds --workers.
func workersFlag(c *cobra.Command, workers *int) {
	c.Flags().IntVar(workers, "workers", runtime.NumCPU(), "goroutines to compute with; results do not depend on it")
}

// maxWorkers is more than any machine has CPUs.
const maxWorkers = 4096

// checkMachine refuses, for commands that compute, --workers outside 1 to maxWorkers (each costs a goroutine and its buffers) and a PITH_CPU
// that cannot be had.
func checkMachine(c *cobra.Command) error {
	f := c.Flags().Lookup("workers")
	if f == nil {
		return nil
	}
	switch n, err := strconv.Atoi(f.Value.String()); {
	case err != nil || n < 1:
		return fmt.Errorf("--workers %s: at least 1 is needed", f.Value)
	case n > maxWorkers:
		return fmt.Errorf("--workers %s: at most %d are possible; more than the machine has CPUs help nothing", f.Value, maxWorkers)
	}
	if _, err := linalg.Library(); err != nil {
		return err
	}
	_, err := kernels.Level()
	return err
}

// offer makes the shell complete a flag with the values that it takes.
func offer(c *cobra.Command, flag string, values ...string) {
	if err := c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic("pith: completion for a flag that the command does not have")
	}
}

// one accepts exactly one argument, called what.
func one(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("%s takes one %s, not %d: see %s --help", c.CommandPath(), what, len(args), c.CommandPath())
		}
		return nil
	}
}

// errNoOutput is the answer to a missing -o.
var errNoOutput = errors.New("-o is missing: say where to write, as in -o out")

// jsonFlag adds --json.
func jsonFlag(c *cobra.Command, asJSON *bool) {
	c.Flags().BoolVar(asJSON, "json", false, "print JSON for scripts instead of text")
}
