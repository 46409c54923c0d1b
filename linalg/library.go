package linalg

import (
	"errors"
	"os"
)

// library is decompositions of another library. Its sums are not ours: neither the bytes of results nor their independence of the machine
// and of the number of workers hold with it.
type library struct {
	name string
	// eigen overwrites a, symmetric, with its eigenvectors as rows and returns the eigenvalues, smallest first.
	eigen func(a Matrix, workers int) ([]float64, error)
	// svd returns the singular values, largest first, and the vectors as rows, of any sign.
	svd func(a Dense, workers int) (s []float64, u, v Dense, err error)
}

// used is what Eigen and SVD compute with, fixed at start; nil: this package itself.
var used, errLibrary = openLibrary(os.Getenv(LibraryVariable))

// LibraryVariable is the environment variable that names a library, OpenBLAS, to decompose with: its path, or a name that the system's loader
// knows. Only builds with the tag openblas can.
const LibraryVariable = "PITH_OPENBLAS"

var errNoLibrary = errors.New(LibraryVariable + " is set, but this build cannot load libraries: unset it, or build with -tags openblas")

// Library returns the name of the library that Eigen, SVD and what is built on them compute with, empty for this package itself. The error says
// that the environment asks for one that cannot be had; this package itself computes then.
func Library() (string, error) {
	if used == nil {
		return "", errLibrary
	}
	return used.name, errLibrary
}
