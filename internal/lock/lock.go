// Package lock keeps two runs out of one output.
package lock

import "errors"

// ErrHeld is returned by Take when another process has the lock.
var ErrHeld = errors.New("locked")
