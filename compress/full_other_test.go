//go:build !unix

package compress

import "errors"

func limitFiles(uint64) error { return errors.New("files cannot be limited here") }
