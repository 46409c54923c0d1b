// Package par runs independent pieces of work on a fixed number of goroutines. It exists so that every loop
// that splits work does so the same way: pieces are handed out in order, results never depend on who ran them.
package par

import (
	"sync"
	"sync/atomic"
)

// For calls f(i) once for each i in [0, n), on at most workers goroutines (the calling one included).
// It returns when all calls have returned.
func For(workers, n int, f func(i int)) {
	if workers > n {
		workers = n
	}
	if workers <= 1 {
		for i := range n {
			f(i)
		}
		return
	}
	var next atomic.Int64
	run := func() {
		for i := int(next.Add(1) - 1); i < n; i = int(next.Add(1) - 1) {
			f(i)
		}
	}
	var wg sync.WaitGroup
	for range workers - 1 {
		wg.Go(run)
	}
	run()
	wg.Wait()
}

// Ranges splits [0, n) into consecutive ranges of size grain (the last may be shorter) and calls f for each, as For does.
// The split depends on n and grain only, never on workers.
func Ranges(workers, n, grain int, f func(lo, hi int)) {
	For(workers, (n+grain-1)/grain, func(i int) { f(i*grain, min(n, (i+1)*grain)) })
}
