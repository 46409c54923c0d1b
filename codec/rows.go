package codec

import (
	"fmt"
	"strconv"
	"strings"

	"pith/tensor"
)

// Rows stores some rows of a matrix by one codec and all others by another: those of an embedding that are read often in more bits. Its name is
// rows<share>-<A>/<B>: of the rows the share, rounded down but at least one, is stored by A. Parts: "map", a bit for each row, the lowest of a
// byte first, 1 for rows of A; then those of the matrix of A's rows, in their order, as "a.<part>", and those of B's as "b.<part>".
type Rows struct {
	share int // in parts of shareUnit
	a, b  Codec
}

const (
	rowsPrefix  = "rows"
	shareDigits = 4
	shareUnit   = 10000
)

// parseRows parses rows<share>-<A>/<B>; ok is false where name is of no such form.
func parseRows(name string) (c Codec, ok bool, err error) {
	rest, found := strings.CutPrefix(name, rowsPrefix)
	share, inner, cut := strings.Cut(rest, "-")
	if !found || !cut {
		return nil, false, nil
	}
	n, valid := parseShare(share)
	if !valid {
		return nil, true, fmt.Errorf("codec %s has more bits for a share of %q of the rows: use more than 0 and less than 1, in up to %d digits, as rows0.1-int8-g64/int4-g64", name, share, shareDigits)
	}
	first, second, cut := strings.Cut(inner, "/")
	if !cut {
		return nil, true, fmt.Errorf("codec %s names one codec: use two, as rows0.1-int8-g64/int4-g64", name)
	}
	inners := [2]Codec{}
	for i, text := range [2]string{first, second} {
		if strings.Contains(text, "/") || strings.HasPrefix(text, rowsPrefix) {
			return nil, true, fmt.Errorf("codec %s: its rows have more than two precisions: use two, as rows0.1-int8-g64/int4-g64", name)
		}
		if inners[i], err = Parse(text); err != nil {
			return nil, true, fmt.Errorf("rows of %s: %w", name, err)
		}
		if !factorCodec(inners[i]) {
			return nil, true, fmt.Errorf("rows of %s: %s is itself a product, a sum or rows of two codecs; use rows0.1-int8-g64/int4-g64", name, text)
		}
	}
	return Rows{n, inners[0], inners[1]}, true, nil
}

// parseShare returns a share "0.…" in parts of shareUnit.
func parseShare(text string) (n int, ok bool) {
	digits, found := strings.CutPrefix(text, "0.")
	if !found || digits == "" || len(digits) > shareDigits || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(digits + strings.Repeat("0", shareDigits-len(digits)))
	return n, err == nil && n > 0
}

// rowCodecs are a few of the codecs with rows of two precisions.
func rowCodecs() []Codec {
	int8Codec, int4Codec := intCodec{8, 64, false}, intCodec{4, 64, false}
	return []Codec{Rows{1000, int8Codec, int4Codec}, Rows{3000, int8Codec, intCodec{3, 64, true}}}
}

// Name returns rows, the share, and the names of both codecs.
func (c Rows) Name() string {
	share := strings.TrimRight(fmt.Sprintf("%0*d", shareDigits, c.share), "0")
	return rowsPrefix + "0." + share + "-" + c.a.Name() + "/" + c.b.Name()
}

// Inner returns the codecs of the rows that the map marks, and of the others.
func (c Rows) Inner() (a, b Codec) { return c.a, c.b }

// Marked returns how many of so many rows are stored by the first codec.
func (c Rows) Marked(rows int) int {
	if rows <= 0 {
		return 0
	}
	return max(1, rows/shareUnit*c.share+rows%shareUnit*c.share/shareUnit)
}

// mapBytes is the size of a bit for each row.
func mapBytes(rows int) int { return rows/8 + (rows%8+7)/8 }

// Check is that of both codecs.
func (c Rows) Check(rows, cols int) error {
	if err := checkShape(rows, cols); err != nil {
		return err
	}
	n := c.Marked(rows)
	if err := c.a.Check(n, cols); err != nil {
		return fmt.Errorf("%d rows by %s: %w", n, c.a.Name(), err)
	}
	if err := c.b.Check(rows-n, cols); err != nil {
		return fmt.Errorf("%d rows by %s: %w", rows-n, c.b.Name(), err)
	}
	return nil
}

// Size is that of the map and both matrices.
func (c Rows) Size(rows, cols int) int64 {
	n := c.Marked(rows)
	return int64(mapBytes(rows)) + c.a.Size(n, cols) + c.b.Size(rows-n, cols)
}

// WholeOnly: rows are not stored one after another.
func (c Rows) WholeOnly() bool { return true }

// Open makes a term of the map and the parts of both matrices.
func (c Rows) Open(rows, cols int, parts []Part) (Term, error) {
	if err := checkShape(rows, cols); err != nil {
		return nil, err
	}
	if len(parts) == 0 {
		return nil, fmt.Errorf("%s without parts: the file is damaged", c.Name())
	}
	if err := checkParts(parts[:1], partSpec{"map", tensor.U8}); err != nil {
		return nil, err
	}
	if err := checkLength(parts[0], int64(mapBytes(rows))); err != nil {
		return nil, err
	}
	marks, err := openMarks(parts[0].Data, rows)
	if err != nil {
		return nil, err
	}
	n := c.Marked(rows)
	if marks.before(rows) != n {
		return nil, fmt.Errorf("part %q marks %d rows, want %d of %d: the file is damaged", "map", marks.before(rows), n, rows)
	}
	aParts, rest := withoutPrefix(parts[1:], "a.")
	bParts, rest := withoutPrefix(rest, "b.")
	if len(rest) > 0 {
		return nil, fmt.Errorf("part %q belongs to no rows: the file is damaged", rest[0].Name)
	}
	t := &rowsTerm{codec: c, rows: rows, cols: cols, marks: marks}
	if t.a, err = c.a.Open(n, cols, aParts); err != nil {
		return nil, fmt.Errorf("%d rows by %s: %w", n, c.a.Name(), err)
	}
	if t.b, err = c.b.Open(rows-n, cols, bParts); err != nil {
		return nil, fmt.Errorf("%d rows by %s: %w", rows-n, c.b.Name(), err)
	}
	return t, nil
}

// Join returns the term whose rows chosen, Marked of them in rising order, are those of a, and the others those of b.
func (c Rows) Join(chosen []int, a, b Term) Term {
	m, cols := a.Dims()
	n, others := b.Dims()
	if cols != others || m != len(chosen) || m != c.Marked(m+n) {
		panic("codec: Join of other rows than are marked")
	}
	return &rowsTerm{codec: c, rows: m + n, cols: cols, marks: marksOf(chosen, m+n), a: a, b: b}
}
