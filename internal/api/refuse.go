package api

import "net/http"

// Fail answers a program's request with err, as every address under /v1 does. It is for whoever stands before the API.
func (a *API) Fail(w http.ResponseWriter, r *http.Request, err error) { a.fail(w, r, err) }
