package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed assets templates
var files embed.FS

// assets are the files that pages refer to. Their address holds a digest of them all, so a browser may keep them for ever, and
// modules that import each other by relative names stay of one version.
type assets struct {
	version string
	files   map[string]asset
}

type asset struct {
	mediaType   string
	plain, gzip []byte
}

// loadAssets panics where the embedded files are broken, which is an error of the build.
func loadAssets() *assets {
	entries, err := files.ReadDir("assets")
	if err != nil {
		panic(err)
	}
	a := &assets{files: map[string]asset{}}
	digest := sha256.New()
	for _, entry := range entries {
		name := entry.Name()
		body, err := files.ReadFile(path.Join("assets", name))
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(digest, "%s %d\n%s", name, len(body), body)
		a.files[name] = asset{mediaType: mediaTypeOf(name), plain: body, gzip: compress(body)}
	}
	a.version = hex.EncodeToString(digest.Sum(nil)[:6])
	return a
}

// mediaTypeOf does not ask the machine's own table of types, which may say something else.
func mediaTypeOf(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	panic("the asset " + name + " is of no type that is served")
}

// url returns the address of an asset.
func (a *assets) url(name string) (string, error) {
	if _, ok := a.files[name]; !ok {
		return "", fmt.Errorf("there is no asset %q", name)
	}
	return "/assets/" + a.version + "/" + name, nil
}

// ServeHTTP answers an asset. A page of an older version that is still open gets today's file, not to be kept.
func (a *assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	file, ok := a.files[r.PathValue("file")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	cache := "public, max-age=31536000, immutable"
	if r.PathValue("version") != a.version {
		cache = "no-store"
	}
	a.answer(w, r, file, cache)
}

// favicon answers browsers that ask for an icon without reading the page.
func (a *assets) favicon(w http.ResponseWriter, r *http.Request) {
	a.answer(w, r, a.files["icon.svg"], "public, max-age=86400")
}

func (a *assets) answer(w http.ResponseWriter, r *http.Request, file asset, cache string) {
	w.Header().Set("Content-Type", file.mediaType)
	w.Header().Set("Cache-Control", cache)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	writeBody(w, r, http.StatusOK, file.plain, file.gzip)
}

// writeBody sends the compressed form where there is one and the client takes it.
func writeBody(w http.ResponseWriter, r *http.Request, status int, plain, zipped []byte) {
	w.Header().Add("Vary", "Accept-Encoding")
	if zipped != nil && takesGzip(r) {
		w.Header().Set("Content-Encoding", "gzip")
		plain = zipped
	}
	w.WriteHeader(status)
	_, _ = w.Write(plain) // the only error is that the client has gone
}

func takesGzip(r *http.Request) bool {
	for coding := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, params, _ := mime.ParseMediaType(coding)
		if name == "gzip" {
			return strings.Trim(params["q"], "0.") != "" || params["q"] == ""
		}
	}
	return false
}

func compress(body []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	// Writing to memory does not fail.
	_, _ = z.Write(body)
	_ = z.Close()
	return out.Bytes()
}
