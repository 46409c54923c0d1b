package trellis

import (
	"embed"
	"encoding/binary"
	"math"
)

// tableFiles are written by internal/traintables: one file per code, tables of all trained rates one after the other, each a
// float32 gain, for codes with a linear index its masks as uint16, and the entries, int8 up to LargestByteRate and int16 above; little
// endian.
//
//go:embed tables/*.bin
var tableFiles embed.FS

// LargestByteRate is the highest rate at which tables of trained codes have entries of one byte; they have two above.
const LargestByteRate Rate = 72

// LargestEntry is the largest magnitude of an entry of a trained table at rate r.
func LargestEntry(r Rate) int {
	if r > LargestByteRate {
		return math.MaxInt16
	}
	return math.MaxInt8
}

// TrainedRates returns the rates that have tables of their own: quarters of a bit while entries are bytes, halves above.
func TrainedRates() []Rate {
	var rates []Rate
	for r := MinRate; r <= LargestByteRate; r += 4 {
		rates = append(rates, r)
	}
	for r := LargestByteRate + 8; r <= MaxRate; r += 8 {
		rates = append(rates, r)
	}
	return rates
}

// trainedRate returns the rate whose table serves r, the nearest that has entries as wide.
func trainedRate(r Rate) Rate {
	if r <= LargestByteRate {
		return (r + 2) / 4 * 4
	}
	return max(LargestByteRate+8, (r+4)/8*8)
}

// Table is a trained table of values: entries, which times Gain serve a unit Gaussian. Bit i of the entry that belongs to a state of a
// code with a linear index is the parity of the state's bits in Rows[i].
type Table struct {
	Gain    float32
	Rows    []uint16
	Entries []int16
}

// Values returns the entries times the gain.
func (t Table) Values() []float64 {
	v := make([]float64, len(t.Entries))
	for i, e := range t.Entries {
		v[i] = float64(t.Gain) * float64(e)
	}
	return v
}

// tableShape returns how many masks and entries c's table at rate r has and how many bytes an entry has.
func (c *Code) tableShape(r Rate) (rows, entries, width int) {
	width = 1
	if r > LargestByteRate {
		width = 2
	}
	if c.linear {
		rows = c.TableBits(r)
	}
	return rows, 1 << c.TableBits(r), width
}

// tableAt returns where the table of c at trained rate r is in its file.
func (c *Code) tableAt(r Rate) (from, to int) {
	for _, at := range TrainedRates() {
		from = to
		if c.Check(at) == nil {
			rows, entries, width := c.tableShape(at)
			to += 4 + 2*rows + width*entries
		}
		if at == r {
			return from, to
		}
	}
	return to, to
}

// TablesSize returns the size of c's file of tables.
func (c *Code) TablesSize() int {
	_, n := c.tableAt(MaxRate)
	return n
}

// PutTable writes t, that of c at trained rate r, into c's file of tables.
func (c *Code) PutTable(file []byte, r Rate, t Table) {
	from, to := c.tableAt(r)
	rows, entries, width := c.tableShape(r)
	if len(file) != c.TablesSize() || from == to || len(t.Entries) != entries || len(t.Rows) != rows {
		panic("trellis: PutTable of another size")
	}
	out := binary.LittleEndian.AppendUint32(file[from:from:to], math.Float32bits(t.Gain))
	for _, row := range t.Rows {
		out = binary.LittleEndian.AppendUint16(out, row)
	}
	for _, e := range t.Entries {
		if width == 2 {
			out = binary.LittleEndian.AppendUint16(out, uint16(e))
		} else {
			out = append(out, byte(e))
		}
	}
}

// GetTable returns the table of c at trained rate r from its file of tables.
func (c *Code) GetTable(file []byte, r Rate) Table {
	from, _ := c.tableAt(r)
	rows, entries, width := c.tableShape(r)
	t := Table{math.Float32frombits(binary.LittleEndian.Uint32(file[from:])), make([]uint16, rows), make([]int16, entries)}
	from += 4
	for i := range t.Rows {
		t.Rows[i] = binary.LittleEndian.Uint16(file[from+2*i:])
	}
	from += 2 * rows
	for i := range t.Entries {
		if width == 2 {
			t.Entries[i] = int16(binary.LittleEndian.Uint16(file[from+2*i:]))
		} else {
			t.Entries[i] = int16(int8(file[from+i]))
		}
	}
	return t
}

// table returns the table of c that serves rate r.
func (c *Code) table(r Rate) Table {
	file, err := tableFiles.ReadFile("tables/" + c.name + ".bin")
	if err != nil || len(file) != c.TablesSize() {
		panic("trellis: tables are not those of this version")
	}
	return c.GetTable(file, trainedRate(r))
}
