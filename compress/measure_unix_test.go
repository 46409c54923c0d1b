//go:build unix

package compress

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"pith/checkpoint"
	"pith/plan"
)

// TestMeasure compresses the checkpoint that PITH_MEASURE names with PITH_CODEC (default int4-g128) and PITH_WORKERS (default 1), and
// reports speed, processor time and the peak of anonymous memory:
//
//	go run ./internal/synth -shape tinyllama -dtype f16 -o /tmp/synth1b
//	PITH_MEASURE=/tmp/synth1b go test ./compress -run Measure -v -count=1
func TestMeasure(t *testing.T) {
	source := os.Getenv("PITH_MEASURE")
	if source == "" {
		t.Skip("set PITH_MEASURE to a checkpoint's directory")
	}
	codecName := "int4-g128"
	if s := os.Getenv("PITH_CODEC"); s != "" {
		codecName = s
	}
	workers, err := strconv.Atoi(os.Getenv("PITH_WORKERS"))
	if err != nil {
		workers = 1
	}
	memory, _ := strconv.ParseInt(os.Getenv("PITH_MEMORY"), 10, 64)
	ckpt, err := checkpoint.Open(source)
	if err != nil {
		t.Fatal(err)
	}
	defer ckpt.Close()
	recipe, err := plan.FromCodec(codecName, "", false)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Resolve(ckpt, recipe)
	if err != nil {
		t.Fatal(err)
	}
	out := os.Getenv("PITH_OUT")
	if out == "" {
		out = filepath.Join(t.TempDir(), "out")
	}
	stop, peak := make(chan bool), make(chan int64)
	go watchMemory(stop, peak)
	var before, after syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	res, err := Run(t.Context(), ckpt, p, out, Options{Workers: workers, MemoryBytes: memory})
	syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	close(stop)
	if err != nil {
		t.Fatal(err)
	}
	cpu := time.Duration(after.Utime.Nano()+after.Stime.Nano()-before.Utime.Nano()-before.Stime.Nano()) * time.Nanosecond
	t.Logf("%s, %d workers: %.2f s, %.0f M weights/s; processor time %.2f s, %.0f M weights/s per core; peak anonymous %d MiB (estimated %d); relative error %.5f",
		codecName, workers, res.Seconds, float64(res.Weights)/res.Seconds/1e6, cpu.Seconds(), float64(res.Weights)/cpu.Seconds()/1e6,
		<-peak>>20, p.Memory(workers)>>20, res.RelError)
	if m, err := checkpoint.ReadManifest(out); err == nil {
		for _, f := range m.Files[len(m.Files)-3:] {
			t.Log(f)
		}
	}
}
