package plan

import (
	"math"
	"strings"
	"testing"

	"pith/approx"
	"pith/calib"
	"pith/internal/synth/llama"
)

// What a menu says of a set is what a plan with that share makes: the same bytes; and the loss is that of the members, as they are solved.
func TestSetsOfMenusAreThoseOfPlans(t *testing.T) {
	c := open(t, llama.Shapes()["tiny"])
	even := resolve(t, c, `rules: [{match: "*", codec: int8-g32}]`)
	config, err := c.Config()
	if err != nil {
		t.Fatal(err)
	}
	for _, share := range []Sharing{
		{Method: Joint, Match: Patterns{"linear"}},
		{Method: BasisU, Match: Patterns{"attn_output"}, Groups: [][]int{{0, 1}}},
		{Method: MatrixPCA, Match: Patterns{"attn_q"}, Groups: [][]int{{0, 1}}, Atoms: 1},
	} {
		o := MenuOptions{BitsPerWeight: 7, Codecs: []string{"int8-g32"}, Stats: seen(t, even), Workers: 2, Share: &share}
		room, err := roomOf(c, 7, 8)
		if err != nil {
			t.Fatal(err)
		}
		sets := share.sets(&Plan{Blocks: []Block{{Lines: room.lines}}}, config)
		var why error
		options, err := o.together(sets[0], &why)
		if err != nil || len(options) < 2 {
			t.Fatal(len(options), err, why)
		}
		if err := o.priceSets(t.Context(), c, sets[0], options); err != nil {
			t.Fatal(err)
		}
		for i, option := range options {
			if i > 0 && option.Loss > options[i-1].Loss*1.001 {
				t.Errorf("%s: keeping %g loses %g, %g loses %g", share.Method, option.keep, option.Loss, options[i-1].keep, options[i-1].Loss)
			}
			p := resolve(t, c, `rules: [{match: "*", codec: int8-g32, method: ldlq}]`)
			s := share
			s.Keeps = map[string]float64{sets[0].short(): option.keep}
			if err := Share(p, config, s); err != nil {
				t.Fatal(err)
			}
			var bytes int64
			var members approx.Members
			var common Line
			for _, l := range p.Lines() {
				if l.Common() {
					common = l
					bytes += l.Bytes
				}
			}
			for _, name := range common.Members {
				l := line(t, p, name)
				bytes += l.Bytes
				stats, err := o.Stats.For(name, l.Cols, calib.Gram)
				if err != nil {
					t.Fatal(err)
				}
				w, err := wholeWeight(c, &l)
				if err != nil {
					t.Fatal(err)
				}
				members.Names, members.W, members.Stats = append(members.Names, name), append(members.W, w), append(members.Stats, stats)
			}
			if bytes != option.Bytes || len(members.W) != len(option.entries) {
				t.Errorf("%s keeping %g: %d bytes, the plan has %d", share.Method, option.keep, option.Bytes, bytes)
			}
			if loss := solvedLoss(t, p, common, members); math.Abs(loss-option.Loss) > 0.02*loss {
				t.Errorf("%s keeping %g: loses %g, solved %g", share.Method, option.keep, option.Loss, loss)
			}
		}
	}
}

// solvedLoss solves a set as its plan says and adds up what the members' outputs lose.
func solvedLoss(t *testing.T, p *Plan, common Line, members approx.Members) (sum float64) {
	t.Helper()
	sharer, err := common.NewSharer()
	if err != nil {
		t.Fatal(err)
	}
	terms, _, err := sharer.Share(members)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range members.Names {
		l := line(t, p, name)
		m, err := l.NewMethod()
		if err != nil {
			t.Fatal(err)
		}
		problem := approx.Problem{Name: name, W: members.W[i], Stats: members.Stats[i], Shared: terms}
		term, _, err := m.Solve(problem)
		if err != nil {
			t.Fatal(err)
		}
		loss, _ := approx.OutputLoss(problem, term)
		var size, trace float64
		for _, v := range members.W[i].Data {
			size += float64(v) * float64(v)
		}
		for _, v := range members.Stats[i].SqSum {
			trace += v / float64(members.Stats[i].Tokens)
		}
		sum += l.cost() * loss / (size * trace / float64(l.Cols))
	}
	return sum
}

// Below the size of the only codec of a menu sets have to share, each as much as suits it, within the bytes; where there is room for all, none does.
func TestMenusShareWhereThatIsAllThereIs(t *testing.T) {
	c := open(t, llama.Shapes()["tiny"])
	config, err := c.Config()
	if err != nil {
		t.Fatal(err)
	}
	from := func(bits float64, codecs ...string) (*Plan, *Sharing) {
		t.Helper()
		r, shared, err := FromMenu(t.Context(), c, MenuOptions{BitsPerWeight: bits, Codecs: codecs, Workers: 2, Share: &Sharing{Method: Joint, Match: Patterns{"attention"}}})
		if err != nil {
			t.Fatal(err)
		}
		p, err := Resolve(c, r)
		if err != nil {
			t.Fatal(err)
		}
		return p, shared
	}
	const bits = 8
	p, shared := from(bits, "int8-g32")
	if shared == nil {
		t.Fatal("nothing is shared")
	}
	if err := Share(p, config, *shared); err != nil {
		t.Fatal(err)
	}
	sets := 0
	for _, l := range p.Lines() {
		if l.Common() {
			sets++
		}
	}
	if p.Totals.BitsPerWeight > bits || p.Totals.BitsPerWeight < bits-0.5 || sets != len(shared.Keeps) {
		t.Errorf("%d bits: the plan takes %g, %d sets of %d", bits, p.Totals.BitsPerWeight, sets, len(shared.Keeps))
	}
	if _, shared := from(bits, "int4-g32"); shared != nil {
		t.Errorf("there is room for every weight alone, and %v share", shared.Keeps)
	}
	_, _, err = FromMenu(t.Context(), c, MenuOptions{BitsPerWeight: bits, Codecs: []string{"int4-g32-2:4"}, Share: &Sharing{Method: Joint, Match: Patterns{"attention"}}})
	if err == nil || !strings.Contains(err.Error(), "anything in common") {
		t.Errorf("a codec that cannot be shared: %v", err)
	}
}
