package ocelli

// Result is what became of one image. Exactly one is ever stored for it.
type Result struct {
	Image   ImageID `json:"image"`
	Job     JobID   `json:"job"`
	Name    string  `json:"name"`
	Labels  []Label `json:"labels"` // best first; empty where Error is set
	Model   *Model  `json:"model"`  // nil where no model saw the image
	Width   int     `json:"width"`  // pixels of the whole upright image; 0 where it could not be read
	Height  int     `json:"height"`
	Worker  string  `json:"worker"`
	Attempt int     `json:"attempt"` // which delivery of the message led to this result, from 1; 0 where none did
	Timings Timings `json:"timings_ms"`
	Error   *Error  `json:"error"`
}

// Label is one class that the model knows, and how sure it is of it.
type Label struct {
	Name    string   `json:"name"`    // plain English: "golden retriever"
	Index   int      `json:"index"`   // place among the model's classes, from 0
	ID      string   `json:"id"`      // WordNet 3.0 id where the class has one: "n02099601"
	Score   float64  `json:"score"`   // probability, 0 to 1
	Parents []string `json:"parents"` // wider classes, nearest first: "dog", "animal"
}

// Model tells which network gave the labels, well enough to run it again.
type Model struct {
	Name          string `json:"name"`
	SHA256        string `json:"sha256"`        // of the model file, hexadecimal
	Preprocessing string `json:"preprocessing"` // how pixels became its input, in one line
}

// Timings says where the time of an image went, in milliseconds.
type Timings struct {
	Queued float64 `json:"queued"` // from acceptance to the lease that led to the result
	Fetch  float64 `json:"fetch"`  // reading the bytes from the blob store
	Decode float64 `json:"decode"` // bytes to upright pixels
	Infer  float64 `json:"infer"`  // pixels to labels
}
