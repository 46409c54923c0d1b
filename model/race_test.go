//go:build race

package model

// The race detector makes sync.Pool drop some of what it is given.
const raceEnabled = true
