package tokenizer

import "strings"

// exportInfo is what Vocab needs beyond what encoding needs.
type exportInfo struct {
	scores  []float32     // SentencePiece
	norm    *spNormalizer // SentencePiece
	unigram bool
	json    *jsonModel // tokenizer.json
	norms   normalizerList
	pre     preTokenizerList
	added   []addedToken
	dec     decoderRules
}

// cutMerge splits "a b". A piece may begin with a space only in a vocabulary that is not byte-level, and no such
// file writes merges as strings, so the first space after the first character is the separator.
func cutMerge(s string) (left, right string, ok bool) {
	if s == "" {
		return "", "", false
	}
	i := strings.IndexByte(s[1:], ' ') + 1
	if i == 0 || i+1 == len(s) {
		return "", "", false
	}
	return s[:i], s[i+1:], strings.IndexByte(s[i+1:], ' ') < 0
}
