// Package trellis quantizes blocks of 256 numbers with trellis codes (Tseng, Sun, Hou and De Sa, 2024, arXiv 2406.11235: QTIP;
// Marcellin and Fischer, 1990): 256 weights are a ring of 16·r bits, and a weight is a fixed function of the L bits that start
// at its place in the ring. Neighbours share most of their bits, so an encoder that searches all rings (Viterbi) comes close to
// the rate-distortion bound, while a decoder needs one window load and one table per weight, at random access.
//
// The format, least significant bit first. Bit n of a tile is bit n&7 of its byte n>>3, n modulo 16·r. Step t moves on by
// k_t bits (Rate.Advances), off_t = Σ_{u<t} k_u, and
//
//	state_t = bits [off_t, off_t + L)     weight t = value(state_t)
//
// (codes of two weights a step: weights 2t and 2t+1). Rates are any number of sixteenths of a bit from 1 to 8: inside a tile
// the advances alternate, which interpolates the distortion geometrically and costs a decoder nothing.
package trellis

// TileWeights is the number of weights of a tile.
const TileWeights = 256
