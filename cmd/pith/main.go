// Command pith compresses language models and proves what it cost. Each file here is one command: flags, one call, print.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() { // the first signal asks; a second one kills
		<-ctx.Done()
		stop()
	}()
	signal.Ignore(syscall.SIGPIPE) // a reader of the output that goes away must not stop the work; run sees the error of the write
	code := run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})
	os.Exit(code)
}
