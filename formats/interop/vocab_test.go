package interop

import "testing"

func testTokenizer(t *testing.T, n int) any { return nil }
