package compress

// tilePool hands out float32 buffers, at most one per worker, so that memory does not grow with the number of tiles.
type tilePool struct{ free chan []float32 }

func newTilePool(workers int) *tilePool {
	p := &tilePool{free: make(chan []float32, workers)}
	for range workers {
		p.free <- nil
	}
	return p
}

// get returns n values of any content.
func (p *tilePool) get(n int) []float32 {
	buf := <-p.free
	if cap(buf) < n {
		buf = make([]float32, n)
	}
	return buf[:n]
}

func (p *tilePool) put(buf []float32) { p.free <- buf }
