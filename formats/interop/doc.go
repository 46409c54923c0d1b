// Package interop translates between other tools' checkpoints and Pith's own view of a model, which is Hugging Face's:
// names, row orders, transposes and norm offsets of GGUF files (as llama.cpp reads and writes them) are undone on reading and
// redone on writing. Everything acts on stored bytes, so a block-quantized tensor keeps its bits in both directions.
package interop
