package model

import (
	"pith/codec"
	"pith/tensor"
)

// mlpBlock adds an MLP to x, tile by tile of rows.
func (p pass) mlpBlock(x tensor.Mat, index int) {
	l, c := p.at(index), &p.config
	h := mat(&p.h, x.Rows, c.Hidden)
	for tile := range tilesOf(x.Rows, mlpRows) {
		xs, hs := x.Slice(tile.r0, tile.r1), h.Slice(tile.r0, tile.r1)
		if !c.ParallelResidual {
			p.eachRow(xs.Rows, func(r int) { l.mlpNorm.apply(hs.Row(r), xs.Row(r)) })
		}
		if p.watch.see(inUp, hs) {
			continue
		}
		act := mat(&p.wide, xs.Rows, c.Intermediate)
		p.activate(act, hs, &l.up)
		if p.watch.see(inDown, act) {
			continue
		}
		p.shortcut(xs, &l.mlpShort, &p.h)
		p.addTo(xs, act, &l.down, &p.kept[3], &l.postMLP, &p.h)
	}
}

// activate sets act to what an MLP's last matrix multiplies: act(gate)·up, or act(up) without a gate. Neither gate nor up is ever there as a
// whole: a worker computes some columns of both for all rows, the latter in a room of its own, and multiplies them while they are in its
// caches.
func (p pass) activate(act, x tensor.Mat, up *linear) {
	c := &p.config
	in := &p.kept[2]
	in.Reset(x)
	p.stage(up, in)
	grain := min(max((c.Intermediate/(4*p.workers)+63)&^63, 64), 256)
	if c.Gated {
		p.rooms.ready(p.workers, up.rows+act.Rows*grain)
	}
	p.run((c.Intermediate+grain-1)/grain, func(i int) {
		c0, c1 := i*grain, min(c.Intermediate, (i+1)*grain)
		up.columns(act, in, c0, c1)
		if !c.Gated {
			for r := range act.Rows {
				c.Activation.apply(act.Row(r)[c0:c1])
			}
			return
		}
		room := p.rooms.take()
		// Row r of the product, of which columns [c0, c1) are computed, begins c0 floats before row r of the tile: rows overlap where they are not used.
		first := c.Intermediate + c0
		tile := tensor.Mat{Rows: act.Rows, Cols: first + c1 - c0, Stride: grain, Data: p.rooms.of(room)[up.rows-first:]}
		up.columns(tile, in, first, first+c1-c0)
		for r := range act.Rows {
			c.Activation.gate(act.Row(r)[c0:c1], tile.Row(r)[first:])
		}
		p.rooms.give(room)
	})
}

// columns sets columns [c0, c1) of y to those of W·x + b; y's columns are the outputs of the linear, of which it may have fewer.
func (l *linear) columns(y tensor.Mat, in *codec.Input, c0, c1 int) {
	for r := range y.Rows {
		l.start(y.Row(r)[c0:c1], c0, false)
	}
	for _, part := range l.parts {
		r0, r1 := max(c0-part.row, 0), min(c1-part.row, part.w.Rows)
		if r0 < r1 {
			part.w.MulAdd(part.of(y), in, r0, r1)
		}
	}
}
