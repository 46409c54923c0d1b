// Package pruning holds methods that remove weights. A Scorer says what each element is worth, a Selector which of them stay, a Solver
// what values those take; any scorer goes with any selector and any solver. Codecs of package codec store what stays.
package pruning
