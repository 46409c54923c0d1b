package human

import (
	"strings"
	"testing"
	"time"
)

func TestSizesReadAsWritten(t *testing.T) {
	for s, want := range map[string]int64{"0": 0, "1000000": 1000000, "512MiB": 512 << 20, "512M": 512 << 20, "512m": 512 << 20, "2GB": 2e9, "1.5g": 3 << 29, "1KiB": 1024, "7b": 7, "3 GiB": 3 << 30} {
		if got, err := ParseSize(s); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "MiB", "-1", "12X", "1.2.3", "5Mo", "1e3", "99999999T", "NaN", "inf"} {
		if got, err := ParseSize(s); err == nil || !strings.Contains(err.Error(), "512MiB") {
			t.Errorf("ParseSize(%q) = %d, %v; want an error with an example", s, got, err)
		}
	}
}

func TestSizesAreExactAndHuman(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1,024 B (1.0 KiB)", 13644312: "13,644,312 B (13.0 MiB)", 1<<30 - 1: "1,073,741,823 B (1.0 GiB)"} {
		if got := ExactSize(n); got != want {
			t.Errorf("ExactSize(%d) = %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567", -123: "-123"} {
		if got := Count(n); got != want {
			t.Errorf("Count(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestDurationsAreShort(t *testing.T) {
	for d, want := range map[time.Duration]string{400 * time.Millisecond: "0.4s", 12500 * time.Millisecond: "12s", 185 * time.Second: "3m05s", 130 * time.Minute: "2h10m"} {
		if got := Duration(d); got != want {
			t.Errorf("Duration(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestTableColumnsAlign(t *testing.T) {
	tab := NewTable("name", ">bytes", "note")
	tab.Add("a", "1,024", "")
	tab.Add("Δp", "7", "x")
	var b strings.Builder
	if err := tab.Print(&b); err != nil {
		t.Fatal(err)
	}
	if want := "name  bytes  note\na     1,024\nΔp        7  x\n"; b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}
