package eval

// Result is one evaluation. Its JSON names are a contract with scripts. Errors named stderr take scored tokens as independent, as
// llama.cpp does; those named stderr_clustered take only windows as independent, and are the ones to judge differences by.
type Result struct {
	Protocol   Protocol `json:"protocol"`
	Ctx        int      `json:"ctx"`    // tokens in a window, BOS included
	Chunks     int      `json:"chunks"` // windows scored
	Notes      []string `json:"notes,omitempty"`
	TextSHA256 string   `json:"text_sha256"`
	TextTokens int      `json:"text_tokens"` // tokens of the whole text

	Tokens              int     `json:"tokens"` // scored
	Bytes               int     `json:"bytes"`  // of text, in the scored tokens
	NLLPerToken         float64 `json:"nll_per_token"`
	NLLStderr           float64 `json:"nll_per_token_stderr"`
	NLLClustered        float64 `json:"nll_per_token_stderr_clustered"`
	Perplexity          float64 `json:"perplexity"`
	PerplexityStderr    float64 `json:"perplexity_stderr"`
	PerplexityClustered float64 `json:"perplexity_stderr_clustered"`
	BitsPerByte         float64 `json:"bits_per_byte"`

	*Comparison // nil, and its fields absent, without a base model

	Model *Subject `json:"model,omitempty"`
	Base  *Subject `json:"base,omitempty"`

	FileBytes       int64   `json:"file_bytes"`      // of the model's weight files on disk
	BitsPerWeight   float64 `json:"bits_per_weight"` // 8 · tensor bytes / parameters
	Seconds         float64 `json:"seconds"`         // spent in the model (not in the base)
	TokensPerSecond float64 `json:"tokens_per_second"`
}

// Subject identifies a model that was evaluated.
type Subject struct {
	Path       string `json:"path"`
	Kind       string `json:"kind"`   // how it is stored
	SHA256     string `json:"sha256"` // of the weight files; of the list of their names and digests if there are several
	Parameters int64  `json:"parameters"`
	Bytes      int64  `json:"tensor_bytes"`
	FileBytes  int64  `json:"file_bytes"`
}

// Comparison is what a base model run in lock-step tells. Differences are model minus base; KL is KL(base ‖ model) in nats a token.
type Comparison struct {
	BasePerplexity       float64 `json:"base_perplexity"`
	BasePerplexityStderr float64 `json:"base_perplexity_stderr"`
	LogRatio             float64 `json:"ln_ppl_ratio"` // mean ln(PPL / base PPL)
	LogRatioStderr       float64 `json:"ln_ppl_ratio_stderr"`
	LogRatioClustered    float64 `json:"ln_ppl_ratio_stderr_clustered"`
	Ratio                float64 `json:"ppl_ratio"`
	RatioStderr          float64 `json:"ppl_ratio_stderr"`

	KLMean      float64 `json:"kl_mean"`
	KLStderr    float64 `json:"kl_mean_stderr"`
	KLClustered float64 `json:"kl_mean_stderr_clustered"`
	KLMedian    float64 `json:"kl_median"`
	KL90        float64 `json:"kl_p90"`
	KL95        float64 `json:"kl_p95"`
	KL99        float64 `json:"kl_p99"`
	KL999       float64 `json:"kl_p999"`
	KLMax       float64 `json:"kl_max"`

	Agreement          float64 `json:"top1_agreement"` // fraction of positions whose most likely token is the same
	AgreementStderr    float64 `json:"top1_agreement_stderr"`
	AgreementClustered float64 `json:"top1_agreement_stderr_clustered"`

	// Δp is the change of the correct token's probability.
	DeltaPMean      float64 `json:"delta_p_mean"`
	DeltaPStderr    float64 `json:"delta_p_mean_stderr"`
	DeltaPClustered float64 `json:"delta_p_mean_stderr_clustered"`
	DeltaPRMS       float64 `json:"delta_p_rms"`
	DeltaPRMSStderr float64 `json:"delta_p_rms_stderr"`
	DeltaPMin       float64 `json:"delta_p_min"`
	DeltaP1         float64 `json:"delta_p_p1"`
	DeltaP5         float64 `json:"delta_p_p5"`
	DeltaP10        float64 `json:"delta_p_p10"`
	DeltaP25        float64 `json:"delta_p_p25"`
	DeltaPMedian    float64 `json:"delta_p_median"`
	DeltaP75        float64 `json:"delta_p_p75"`
	DeltaP90        float64 `json:"delta_p_p90"`
	DeltaP95        float64 `json:"delta_p_p95"`
	DeltaP99        float64 `json:"delta_p_p99"`
	DeltaPMax       float64 `json:"delta_p_max"`
}
