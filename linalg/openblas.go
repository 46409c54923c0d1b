//go:build openblas && linux && (amd64 || arm64)

package linalg

import (
	"fmt"
	"runtime"
	"strings"
	"sync"

	"github.com/ebitengine/purego"
)

// openblas is LAPACK's functions of a shared library, called by Fortran's convention: everything by address, and the lengths of strings, by
// value, at the end. Integers are 8 bytes here; a library that has 4 reads the lower half (the machine is little-endian).
type openblas struct {
	wide       bool // the library's integers are 8 bytes
	running    sync.Mutex
	setThreads func(n int32)
	dsyevd     func(jobz, uplo *byte, n *int64, a *float64, lda *int64, w, work *float64, lwork, iwork, liwork, info *int64, l1, l2 int)
	dgesdd     func(jobz *byte, m, n *int64, a *float64, lda *int64, s, u *float64, ldu *int64, vt *float64, ldvt *int64, work *float64, lwork, iwork, info *int64, l1 int)
}

// openLibrary loads a library by path or name. Symbols may have the prefix scipy_ and the suffix 64_, as in the wheels of numpy and scipy.
func openLibrary(name string) (*library, error) {
	if name == "" {
		return nil, nil
	}
	handle, err := purego.Dlopen(name, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("%s=%s: %w; unset it, or set it to the path of libopenblas.so", LibraryVariable, name, err)
	}
	for _, form := range [][2]string{{"", ""}, {"", "64_"}, {"scipy_", ""}, {"scipy_", "64_"}} {
		find := func(symbol string) uintptr {
			p, err := purego.Dlsym(handle, form[0]+symbol+form[1])
			if err != nil {
				return 0
			}
			return p
		}
		syevd, gesdd, config, threads := find("dsyevd_"), find("dgesdd_"), find("openblas_get_config"), find("openblas_set_num_threads")
		if syevd == 0 || gesdd == 0 || config == 0 || threads == 0 {
			continue
		}
		b := &openblas{}
		var describe func() string
		purego.RegisterFunc(&describe, config)
		purego.RegisterFunc(&b.setThreads, threads)
		purego.RegisterFunc(&b.dsyevd, syevd)
		purego.RegisterFunc(&b.dgesdd, gesdd)
		words := strings.Fields(describe())
		b.wide = strings.Contains(strings.Join(words, " "), "USE64BITINT")
		return &library{strings.Join(words[:min(2, len(words))], " "), b.eigen, b.svd}, nil
	}
	return nil, fmt.Errorf("%s=%s: no OpenBLAS with LAPACK: it lacks dsyevd, dgesdd or OpenBLAS's own functions; unset it, or name another library", LibraryVariable, name)
}

// status reads what a function says of its success.
func (b *openblas) status(info int64) error {
	if !b.wide {
		info = int64(int32(info))
	}
	switch {
	case info < 0:
		return fmt.Errorf("OpenBLAS does not take argument %d", -info)
	case info > 0:
		return ErrNoConvergence
	}
	return nil
}

// eigen is dsyevd. Vectors as columns by columns are rows by rows.
func (b *openblas) eigen(a Matrix, workers int) ([]float64, error) {
	if a.N == 0 {
		return nil, nil
	}
	b.running.Lock()
	defer b.running.Unlock()
	b.setThreads(int32(min(max(workers, 1), runtime.GOMAXPROCS(0)))) // more would wait for one another
	n := int64(a.N)
	for i := range a.N {
		for j := range i {
			a.Data[j*a.N+i] = a.Data[i*a.N+j]
		}
	}
	jobz, uplo := byte('V'), byte('L') // graded from above, it keeps more digits so
	lwork, liwork, info := 1+6*n+2*n*n, 3+5*n, int64(0)
	w, work, iwork := make([]float64, n), make([]float64, lwork), make([]int64, liwork)
	b.dsyevd(&jobz, &uplo, &n, &a.Data[0], &n, &w[0], &work[0], &lwork, &iwork[0], &liwork, &info, 1, 1)
	runtime.KeepAlive(a.Data)
	return w, b.status(info)
}

// svd is dgesdd of the matrix by columns: of the transposed one it would keep fewer digits where columns fall.
func (b *openblas) svd(a Dense, workers int) (s []float64, u, v Dense, err error) {
	k := min(a.Rows, a.Cols)
	s, u, v = make([]float64, k), NewDense(k, a.Rows), NewDense(a.Cols, k)
	if k == 0 {
		return s, u, v.Transposed(), nil
	}
	b.running.Lock()
	defer b.running.Unlock()
	b.setThreads(int32(min(max(workers, 1), runtime.GOMAXPROCS(0)))) // more would wait for one another
	columns := a.Transposed().Data
	m, n, q := int64(a.Rows), int64(a.Cols), int64(k)
	jobz := byte('S')
	lwork, info := 4*q*q+7*q+2*max(m, n)+64*(m+n+q), int64(0)
	work, iwork := make([]float64, lwork), make([]int64, 8*q)
	b.dgesdd(&jobz, &m, &n, &columns[0], &m, &s[0], &u.Data[0], &m, &v.Data[0], &q, &work[0], &lwork, &iwork[0], &info, 1)
	runtime.KeepAlive(columns)
	return s, u, v.Transposed(), b.status(info)
}
