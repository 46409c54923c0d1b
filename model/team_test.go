package model

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"pith/internal/par"
)

func TestATeamRunsEveryPieceOnceHoweverSectionsFollow(t *testing.T) {
	for _, workers := range []int{1, 2, 3, 8} {
		team := newTeam(workers)
		for round := range 3000 {
			n := round % 40
			count := make([]int32, n)
			var total atomic.Int64
			team.run(n, func(i int) {
				atomic.AddInt32(&count[i], 1)
				total.Add(int64(i))
			})
			for i, c := range count {
				if c != 1 {
					t.Fatalf("%d workers, round %d: piece %d ran %d times", workers, round, i, c)
				}
			}
			if total.Load() != int64(n*(n-1)/2) {
				t.Fatalf("%d workers, round %d: sum %d", workers, round, total.Load())
			}
			if round%500 == 0 { // let members fall asleep
				time.Sleep(2 * time.Millisecond)
			}
		}
		team.stop()
	}
}

func BenchmarkSection(b *testing.B) {
	var sink [64]atomic.Int64
	work := func(i int) {
		for range 2000 {
			sink[i*8].Add(1)
		}
	}
	for _, pieces := range []int{1, 2, 8} {
		b.Run(fmt.Sprint("par/", pieces), func(b *testing.B) {
			for b.Loop() {
				par.For(2, pieces, work)
			}
		})
		b.Run(fmt.Sprint("team/", pieces), func(b *testing.B) {
			t := newTeam(2)
			defer t.stop()
			for b.Loop() {
				t.run(pieces, work)
			}
		})
	}
}
