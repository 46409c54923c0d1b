package plan

import (
	"slices"
	"testing"
)

func TestAPlanHoldsItsVocabulary(t *testing.T) {
	for _, size := range []int{1, 7, 8, 9, 1000} {
		var ids []int32
		for id := range int32(size) {
			if id%3 != 1 {
				ids = append(ids, id)
			}
		}
		v := NewVocabulary(ids, size, 0.5)
		if got, err := v.IDs(); err != nil || !slices.Equal(got, ids) {
			t.Errorf("%d tokens: %v, %v", size, got, err)
		}
		for _, bad := range []Vocabulary{{size + 8, v.Tokens, 0, v.Kept}, {size, v.Tokens + 1, 0, v.Kept}, {size, v.Tokens, 0, "?"}, {-1, 0, 0, ""}, {1 << 40, 0, 0, ""}} {
			if _, err := bad.IDs(); err == nil {
				t.Errorf("%d tokens: %+v is taken", size, bad)
			}
		}
	}
}
