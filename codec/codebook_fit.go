package codec

import (
	"encoding/binary"
	"math"
	"slices"

	"pith/tensor"
)

// maxTableWeight bounds weights, so that tables and scales are finite F16.
const maxTableWeight = 60000

// Fit sets each table by k-means in one dimension over the weights it stands for; with scales of rows, over weights in units of the row's root mean
// square. Grouped tables need groups of rows first (tableFitter.cluster). With o.Search, columns count by importance, rows move to the
// group whose table loses least of them, and tables follow; the error that is left is never larger than without.
func (c tableCodec) Fit(w tensor.Mat, importance []float32, o FitOptions) (Grid, error) {
	if err := checkFit(c, w, importance); err != nil {
		return nil, err
	}
	for r := range w.Rows {
		for _, v := range w.Row(r) {
			if v > maxTableWeight || v < -maxTableWeight {
				return nil, weightError(w.Row(r), r, 0, c.Name(), errTooLarge)
			}
		}
	}
	t := &tableTerm{tableCodec: c, rows: w.Rows, cols: w.Cols, values: make([]byte, 2*c.entries()*c.tables(w.Rows, w.Cols))}
	if c.scaled {
		t.scales = make([]byte, 2*w.Rows)
		for r := range w.Rows {
			binary.LittleEndian.PutUint16(t.scales[2*r:], tensor.Float32ToF16(rootMeanSquare(w.Row(r))))
		}
	}
	f := &tableFitter{tableTerm: t, w: w, levels: tableLevels(c.bits)}
	if c.groupBits() > 0 {
		t.group = f.cluster()
	}
	f.fit()
	if o.Search {
		f.search(importance)
	}
	g := newTableGrid(t)
	if c.scaled {
		return scaledTableGrid{g}, nil
	}
	return g, nil
}

// tableLevels are the levels of a Gaussian from which k-means starts.
func tableLevels(bits int) []float32 {
	at := 0
	for b := 2; b < bits; b++ {
		at += 1 << b
	}
	return tableAt(nuqTable, at, 1<<bits)
}

func rootMeanSquare(x []float32) float32 {
	var sum float64
	for _, v := range x {
		sum += float64(v) * float64(v) // exact
	}
	return float32(math.Sqrt(sum / float64(max(1, len(x)))))
}

// tableFitter fits the tables of a term whose rows' groups and scales are known.
type tableFitter struct {
	*tableTerm
	w          tensor.Mat
	importance []float32 // of columns; nil: all 1
	levels     []float32
	points     points
	list       []point   // scratch
	centers    []float64 // scratch
}

// maxPoints bounds the weights that k-means looks at for a table of many rows.
const maxPoints = 1 << 18

// fit sets every table.
func (f *tableFitter) fit() {
	f.eachTable(func(i int) {
		f.points.means(f.centers, f.levels)
		f.store(i)
	})
}

// store rounds the centers to what table i stores.
func (f *tableFitter) store(i int) {
	n := f.entries()
	for k, v := range f.centers {
		binary.LittleEndian.PutUint16(f.values[2*(i*n+k):], tensor.Float32ToF16(float32(v)))
	}
}

// eachTable calls do with every table, its weights in f.points.
func (f *tableFitter) eachTable(do func(i int)) {
	f.centers = make([]float64, f.entries())
	if f.sketch() {
		each := f.rangeCols(f.cols)
		for r := range f.rows {
			for k := range f.rangesOf(f.cols) {
				f.list = f.list[:0]
				f.add(r, k*each, min(f.cols, (k+1)*each), 0, 1)
				f.points.set(f.list)
				do(f.tableOf(r, k))
			}
		}
		return
	}
	members := make([][]int, f.tables(f.rows, f.cols))
	for r := range f.rows {
		g := f.tableOf(r, 0)
		members[g] = append(members[g], r)
	}
	for g, rows := range members {
		f.list = f.list[:0]
		stride := (len(rows)*f.cols+maxPoints-1)/maxPoints | 1
		for i, r := range rows {
			f.add(r, 0, f.cols, i%stride, stride)
		}
		f.points.set(f.list)
		do(g)
	}
}

// add lists the weights of columns lo+first … hi of row r, each stride-th, in units of the row's scale. A column whose importance is not positive and
// finite counts nothing.
func (f *tableFitter) add(r, lo, hi, first, stride int) {
	row, unit, square := f.w.Row(r), float32(1), float32(1)
	if f.scaled {
		scale := f.rowScale(r)
		unit, square = inverseOf(binary.LittleEndian.Uint16(f.scales[2*r:])), scale*scale
	}
	for c := lo + first; c < hi; c += stride {
		weight := square
		if f.importance != nil {
			weight *= f.importance[c]
		}
		if !(weight > 0) || math.IsInf(float64(weight), 0) {
			weight = 0
		}
		f.list = append(f.list, point{row[c] * unit, weight})
	}
}

// searchPasses is how often rows choose their groups anew.
const searchPasses = 3

// lossNoise is how exactly losses are known, relatively: values are rounded to float32.
const lossNoise = 1e-6

// search fits the tables to columns that count by importance.
func (f *tableFitter) search(importance []float32) {
	f.importance = importance
	best := f.snapshot()
	keep := func() bool {
		if s := f.snapshot(); s.loss < best.loss*(1-lossNoise) {
			best = s
			return true
		}
		return false
	}
	f.follow()
	keep()
	for range searchPasses {
		if f.group == nil || !f.regroup() {
			break
		}
		f.follow()
		if !keep() {
			break
		}
	}
	copy(f.values, best.values)
	copy(f.group, best.group)
}

// follow fits every table anew: the better of what k-means makes of the table as it is, and of its usual starts.
func (f *tableFitter) follow() {
	table := make([]float32, f.entries())
	old := make([]float64, f.entries())
	f.eachTable(func(i int) {
		if len(f.points.list) == 0 {
			return
		}
		f.points.means(f.centers, f.levels)
		fresh := f.points.lloyd(f.centers)
		f.readTable(table, i, 1)
		for k, v := range table {
			old[k] = float64(v)
		}
		if f.points.lloyd(old) < fresh {
			copy(f.centers, old)
		}
		f.store(i)
	})
}

// tableState is what search may put back.
type tableState struct {
	values []byte
	group  []uint16
	loss   float64
}

func (f *tableFitter) snapshot() tableState {
	s := tableState{values: append([]byte(nil), f.values...), group: append([]uint16(nil), f.group...)}
	tables, n := f.sortedTables(), f.entries()
	for r := range f.rows {
		for k := range f.rangesOf(f.cols) {
			f.setRow(r, k)
			i := f.tableOf(r, k)
			s.loss += f.points.loss(tables[i*n : (i+1)*n])
		}
	}
	return s
}

// sortedTables returns every table's numbers, ascending.
func (f *tableFitter) sortedTables() []float64 {
	n := f.entries()
	count := f.tables(f.rows, f.cols)
	out, table := make([]float64, count*n), make([]float32, n)
	for i := range count {
		f.readTable(table, i, 1)
		sorted := out[i*n : (i+1)*n]
		for k, v := range table {
			sorted[k] = float64(v)
		}
		slices.Sort(sorted)
	}
	return out
}

// setRow sets the points to the weights of range k of row r.
func (f *tableFitter) setRow(r, k int) {
	each := f.rangeCols(f.cols)
	f.list = f.list[:0]
	f.add(r, k*each, min(f.cols, (k+1)*each), 0, 1)
	f.points.set(f.list)
}

// regroup moves each row to the group whose table loses least of it, and reports whether any moved.
func (f *tableFitter) regroup() (moved bool) {
	tables, n := f.sortedTables(), f.entries()
	for r := range f.rows {
		f.setRow(r, 0)
		at := f.group[r]
		best := f.points.loss(tables[int(at)*n : (int(at)+1)*n])
		for i := range f.tables(f.rows, f.cols) {
			if loss := f.points.loss(tables[i*n : (i+1)*n]); loss < best {
				best, at = loss, uint16(i)
			}
		}
		if at != f.group[r] {
			f.group[r], moved = at, true
		}
	}
	return moved
}
