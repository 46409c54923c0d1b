package model

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ThisMachine returns what the system says of the caches of the first core and of free memory.
func ThisMachine() Machine {
	cache, _ := cacheBytes("/sys/devices/system/cpu/cpu0/cache") // 0 on an error
	info, _ := os.ReadFile("/proc/meminfo")
	return Machine{Cache: cache, Memory: availableBytes(string(info))}
}

// availableBytes finds the memory free for use in text as Linux writes it, "MemAvailable:   123 kB"; 0 if it does not say.
func availableBytes(text string) int64 {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[0] == "MemAvailable:" && fields[2] == "kB" {
			n, err := strconv.ParseInt(fields[1], 10, 50)
			if err == nil && n > 0 {
				return n << 10
			}
		}
	}
	return 0
}

// errNoCache is returned where the system does not say how large its caches are.
var errNoCache = errors.New("the system does not say how large its caches are")

// cacheBytes reads the largest cache of a directory as Linux has it: index*/size, as "32K" or "32768K".
func cacheBytes(dir string) (int64, error) {
	sizes, err := filepath.Glob(filepath.Join(dir, "index*", "size"))
	if err != nil || len(sizes) == 0 {
		return 0, errNoCache
	}
	var most int64
	for _, path := range sizes {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		digits := strings.TrimRight(strings.TrimSpace(string(text)), "KMG")
		n, err := strconv.ParseInt(digits, 10, 40)
		if err != nil || n < 0 {
			continue
		}
		switch unit := strings.TrimSpace(string(text))[len(digits):]; unit {
		case "K":
			n <<= 10
		case "M":
			n <<= 20
		case "G":
			n <<= 30
		}
		most = max(most, n)
	}
	if most == 0 {
		return 0, errNoCache
	}
	return most, nil
}
