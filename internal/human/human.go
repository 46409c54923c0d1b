// Package human writes numbers, sizes, times and tables for people, and reads the sizes they write.
package human

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Table prints rows in aligned columns. A column whose header starts with '>' is aligned to the right.
type Table struct {
	header []string
	rows   [][]string
}

// NewTable returns a table without rows.
func NewTable(header ...string) *Table { return &Table{header: header} }

// Add appends a row, one cell per column.
func (t *Table) Add(cells ...string) { t.rows = append(t.rows, cells) }

// Print writes the table.
func (t *Table) Print(w io.Writer) error {
	right := make([]bool, len(t.header))
	head := make([]string, len(t.header))
	for i, h := range t.header {
		head[i], right[i] = strings.CutPrefix(h, ">")
	}
	width := make([]int, len(head))
	all := append([][]string{head}, t.rows...)
	for _, row := range all {
		for i, c := range row {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	var b strings.Builder
	for _, row := range all {
		var line strings.Builder
		for i, c := range row {
			if i > 0 {
				line.WriteString("  ")
			}
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c))
			if right[i] {
				line.WriteString(pad + c)
			} else {
				line.WriteString(c + pad)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Count writes n with its thousands separated.
func Count[T int | int64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Size writes bytes for people: "13.0 MiB".
func Size(bytes int64) string {
	const units = "KMGTPE"
	if bytes < 1024 {
		return fmt.Sprintf("%d B", bytes)
	}
	v, u := float64(bytes)/1024, 0
	for v >= 1023.95 && u < len(units)-1 {
		v /= 1024
		u++
	}
	return fmt.Sprintf("%.1f %ciB", v, units[u])
}

// ExactSize writes bytes both ways: "13,644,312 B (13.0 MiB)".
func ExactSize(bytes int64) string {
	if bytes < 1024 {
		return Size(bytes)
	}
	return fmt.Sprintf("%s B (%s)", Count(bytes), Size(bytes))
}

// Duration writes a duration for people: "0.4s", "12s", "3m05s", "2h10m".
func Duration(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

// ParseSize reads "512MiB", "2GB", "1.5g" or a number of bytes. Letters without i count in 1024s too, as memory is counted; KB, MB, GB, TB in 1000s.
func ParseSize(s string) (int64, error) {
	bad := func() (int64, error) {
		return 0, fmt.Errorf("size %q: write a number and a unit, as in 512MiB, 2GB or 1000000", s)
	}
	end := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if end < 0 {
		end = len(s)
	}
	v, err := strconv.ParseFloat(s[:end], 64)
	if err != nil || v < 0 {
		return bad()
	}
	unit := strings.ToLower(strings.TrimSpace(s[end:]))
	scale := 1.0
	if unit != "" && unit != "b" {
		exp := strings.IndexByte("kmgt", unit[0]) + 1
		if exp == 0 {
			return bad()
		}
		switch unit[1:] {
		case "", "i", "ib":
			scale = math.Pow(1024, float64(exp))
		case "b":
			scale = math.Pow(1000, float64(exp))
		default:
			return bad()
		}
	}
	if v*scale > 1<<62 {
		return bad()
	}
	return int64(v * scale), nil
}
