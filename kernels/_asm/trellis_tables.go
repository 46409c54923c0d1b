package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// byteWindows are states of up to 8 bits.
func byteWindows(t *tileProduct) func(source reg.VecVirtual, odd int) reg.VecVirtual {
	shifts := [2]reg.VecVirtual{t.vector(planLower), t.vector(planLower + 64)}
	return func(source reg.VecVirtual, odd int) reg.VecVirtual {
		t.VPMULTISHIFTQB(source, shifts[odd], source)
		return source
	}
}

// linear8 is an index of 8 bits, each the parity of some bits of 8.
func linear8(t *tileProduct) func(source reg.VecVirtual, odd int) reg.VecVirtual {
	window := byteWindows(t)
	matrix := t.ZMM()
	t.VPBROADCASTQ(operand.Mem{Base: t.plan, Disp: planLinear}, matrix)
	return func(source reg.VecVirtual, odd int) reg.VecVirtual {
		states := window(source, odd)
		t.VGF2P8AFFINEQB(operand.Imm(0), matrix, states, states)
		return states
	}
}

// linear is an index of 8 bits, each the parity of some bits of 16.
func linear(t *tileProduct) func(source reg.VecVirtual, odd int) reg.VecVirtual {
	lower := [2]reg.VecVirtual{t.vector(planLower), t.vector(planLower + 64)}
	upper := [2]reg.VecVirtual{t.vector(planUpper), t.vector(planUpper + 64)}
	var matrix [2]reg.VecVirtual
	for i := range matrix {
		matrix[i] = t.ZMM()
		t.VPBROADCASTQ(operand.Mem{Base: t.plan, Disp: planLinear + 8*i}, matrix[i])
	}
	return func(source reg.VecVirtual, odd int) reg.VecVirtual {
		low := t.ZMM()
		t.VPMULTISHIFTQB(source, lower[odd], low)
		t.VPMULTISHIFTQB(source, upper[odd], source)
		t.VGF2P8AFFINEQB(operand.Imm(0), matrix[0], low, low)
		t.VGF2P8AFFINEQB(operand.Imm(0), matrix[1], source, source)
		t.VPXORD(low, source, source)
		return source
	}
}

// hash is the upper byte of s·(s+c).
func hash(t *tileProduct) func(source reg.VecVirtual, odd int) reg.VecVirtual {
	even := [2]reg.VecVirtual{t.vector(planEven), t.vector(planEven + 64)}
	odds := [2]reg.VecVirtual{t.vector(planOdd), t.vector(planOdd + 64)}
	c, upper := t.ZMM(), word(t.Context, 64, 0xff00ff00)
	t.VPBROADCASTW(operand.Mem{Base: t.plan, Disp: planHash}, c)
	product := func(s reg.VecVirtual) {
		sum := t.ZMM()
		t.VPADDW(c, s, sum)
		t.VPMULLW(sum, s, s)
	}
	return func(source reg.VecVirtual, odd int) reg.VecVirtual {
		low := t.ZMM()
		t.VPMULTISHIFTQB(source, even[odd], low)
		t.VPMULTISHIFTQB(source, odds[odd], source)
		product(low)
		product(source)
		t.VPSRLW(operand.Imm(8), low, low)
		t.VPTERNLOGD(operand.Imm(or3), source, upper, low)
		return low
	}
}

// table7 looks up the lower 7 bits.
func table7(t *tileProduct) func(index reg.VecVirtual) reg.VecVirtual {
	low, high := t.vector(planTable), t.vector(planTable+64)
	return func(index reg.VecVirtual) reg.VecVirtual {
		t.VPERMI2B(high, low, index)
		return index
	}
}

// table8 looks up 8 bits in four quarters.
func table8(t *tileProduct) func(index reg.VecVirtual) reg.VecVirtual {
	var quarter [4]reg.VecVirtual
	for i := range quarter {
		quarter[i] = t.vector(planTable + 64*i)
	}
	return func(index reg.VecVirtual) reg.VecVirtual {
		bit6, bit7 := t.spare[0], t.spare[1]
		doubled, low, high := t.ZMM(), t.ZMM(), t.ZMM()
		t.VPMOVB2M(index, bit7)
		t.VPADDB(index, index, doubled)
		t.VPMOVB2M(doubled, bit6)
		t.VPERMB(quarter[0], index, low)
		t.VPERMB(quarter[2], index, high)
		t.VPERMB(quarter[1], index, bit6, low)
		t.VPERMB(quarter[3], index, bit6, high)
		t.VMOVDQU8(high, bit7, low)
		return low
	}
}

// mirrorTable looks up 8 bits in a table whose entry 255-i is the negative of entry i. With fold, indices from 128 on are mirrored
// first; else their lower bits have been.
func mirrorTable(fold bool) func(t *tileProduct) func(reg.VecVirtual) reg.VecVirtual {
	return func(t *tileProduct) func(reg.VecVirtual) reg.VecVirtual {
		value := table7(t)
		ones, zero := t.ZMM(), t.ZMM()
		t.VPTERNLOGD(operand.Imm(0xff), ones, ones, ones)
		t.VPXORD(zero, zero, zero)
		return func(index reg.VecVirtual) reg.VecVirtual {
			negative := t.spare[0]
			t.VPMOVB2M(index, negative)
			if fold {
				t.VPSUBB(index, ones, negative, index)
			}
			entry := value(index)
			t.VPSUBB(entry, zero, negative, entry) // 128 + v becomes 128 - v modulo 256
			return entry
		}
	}
}
