// Package plane finds the nearest of fixed points in the plane.
package plane

import "math"

// Index finds nearest points. It cuts the square around the points into cells and keeps, for each, the points that are nearest to
// something in the cell: a few, of thousands.
type Index struct {
	points     []float32 // x, y of each point
	low, width float32   // of the square, and of its cells
	side       int       // cells on a side
	start      []int32   // of each cell's candidates, in the order of points
	candidates []uint16
}

// margin is how far beyond the outermost point cells go, as a fraction of the square.
const margin = 0.25

// New returns the index of points, x and y of each in turn; at most 65536 points. points is kept, not copied.
func New(points []float32) *Index {
	low, high := points[0], points[0]
	for _, v := range points {
		low, high = min(low, v), max(high, v)
	}
	pad := float32(float32(high-low)*margin) + 0.1
	low, high = low-pad, high+pad
	x := &Index{points: points, low: low, side: max(4, int(2*math.Sqrt(float64(len(points)/2))))}
	x.width = (high - low) / float32(x.side)
	x.start = make([]int32, 0, x.side*x.side+1)
	for row := range x.side {
		for col := range x.side {
			x.start = append(x.start, int32(len(x.candidates)))
			x.addCandidates(col, row)
		}
	}
	x.start = append(x.start, int32(len(x.candidates)))
	return x
}

// addCandidates appends the points whose smallest distance to the cell is no larger than the smallest of all largest distances.
func (x *Index) addCandidates(col, row int) {
	half := float64(x.width) / 2
	cx := float64(x.low) + (float64(col)+0.5)*float64(x.width)
	cy := float64(x.low) + (float64(row)+0.5)*float64(x.width)
	reach := math.Inf(1)
	for i := 0; i < len(x.points); i += 2 {
		dx, dy := math.Abs(float64(x.points[i])-cx)+half, math.Abs(float64(x.points[i+1])-cy)+half
		reach = min(reach, dx*dx+dy*dy)
	}
	reach *= 1.0001 // float32's rounding of distances, and of which cell a point falls into
	for i := 0; i < len(x.points); i += 2 {
		dx := max(0, math.Abs(float64(x.points[i])-cx)-half)
		dy := max(0, math.Abs(float64(x.points[i+1])-cy)-half)
		if dx*dx+dy*dy <= reach {
			x.candidates = append(x.candidates, uint16(i/2))
		}
	}
}

// Nearest returns which point is nearest to (px, py): the first of those at the same distance, rounded to float32.
func (x *Index) Nearest(px, py float32) int {
	col, row := int((px-x.low)/x.width), int((py-x.low)/x.width)
	if px < x.low || py < x.low || col >= x.side || row >= x.side {
		return x.NearestOfAll(px, py)
	}
	cell := row*x.side + col
	best, at := float32(math.MaxFloat32), 0
	for _, i := range x.candidates[x.start[cell]:x.start[cell+1]] {
		if d := x.distance(int(i), px, py); d < best {
			best, at = d, int(i)
		}
	}
	return at
}

// NearestOfAll is Nearest by comparing all points: the definition.
func (x *Index) NearestOfAll(px, py float32) int {
	best, at := float32(math.MaxFloat32), 0
	for i := range len(x.points) / 2 {
		if d := x.distance(i, px, py); d < best {
			best, at = d, i
		}
	}
	return at
}

func (x *Index) distance(i int, px, py float32) float32 {
	dx, dy := px-x.points[2*i], py-x.points[2*i+1]
	return float32(dx*dx) + float32(dy*dy)
}
