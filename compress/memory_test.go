package compress

import (
	"bufio"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// watchMemory sends the largest RssAnon seen until stop.
func watchMemory(stop chan bool, peak chan int64) {
	var most int64
	for {
		select {
		case <-stop:
			peak <- most
			return
		case <-time.After(5 * time.Millisecond):
			most = max(most, anonymous())
		}
	}
}

// anonymous returns the process's RssAnon in bytes, or the Go runtime's own count where there is no /proc.
func anonymous() int64 {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.Sys - m.HeapReleased)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), "RssAnon:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kb << 10
		}
	}
	return 0
}
