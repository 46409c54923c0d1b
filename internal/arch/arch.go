// Package arch holds the rules of the house as tests: who may import whom, how long a file may be, what no file may hold.
package arch
