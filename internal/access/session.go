package access

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	cookieName  = "ocelli_session"
	sessionTime = 12 * time.Hour
	mostEnded   = 10_000 // sessions that were ended by hand and are remembered until they would have ended
)

// sessions are those of browsers. A session stands in its cookie, under the seal of the installation, so that it holds on every
// node that has the same keys, and costs no memory; those that were signed out of are remembered here.
type sessions struct {
	keys *Keys

	mu    sync.Mutex
	ended map[string]time.Time // by cookie value: when it would have ended
}

// begin gives the browser a session of the key.
func (s *sessions) begin(w http.ResponseWriter, r *http.Request, k *Key, now time.Time) {
	end := now.Add(sessionTime)
	if k.Expires != nil && k.Expires.Before(end) {
		end = *k.Expires
	}
	body := k.ID + "." + strconv.FormatInt(end.Unix(), 10) + "." + rand.Text()
	s.set(w, r, body+"."+s.sealOf(body), end)
}

// find returns the key of the request's session, and nil where it has none that is valid.
func (s *sessions) find(r *http.Request, now time.Time) *Key {
	cookie, err := r.Cookie(cookieName)
	if err != nil || len(cookie.Value) > 200 {
		return nil
	}
	body, seal, ok := cutLast(cookie.Value)
	if !ok || subtle.ConstantTimeCompare([]byte(seal), []byte(s.sealOf(body))) != 1 {
		return nil
	}
	id, rest, _ := strings.Cut(body, ".")
	text, _, _ := strings.Cut(rest, ".")
	end, err := strconv.ParseInt(text, 10, 64)
	if err != nil || now.Unix() >= end {
		return nil
	}
	s.mu.Lock()
	_, over := s.ended[cookie.Value]
	s.mu.Unlock()
	if over {
		return nil
	}
	return s.keys.ByID(id, now)
}

// finish ends the session of the request.
func (s *sessions) finish(w http.ResponseWriter, r *http.Request, now time.Time) {
	if s.find(r, now) != nil {
		cookie, _ := r.Cookie(cookieName)
		s.mu.Lock()
		for value, end := range s.ended {
			if now.After(end) {
				delete(s.ended, value)
			}
		}
		if len(s.ended) < mostEnded { // beyond it the browser still forgets its cookie
			s.ended[cookie.Value] = now.Add(sessionTime)
		}
		s.mu.Unlock()
	}
	s.set(w, r, "", time.Unix(1, 0))
}

func (s *sessions) set(w http.ResponseWriter, r *http.Request, value string, end time.Time) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: value, Path: "/", Expires: end, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		// A proxy that ends TLS says so. Whoever claims it without TLS gets a cookie that his browser keeps to itself.
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https",
	})
}

func (s *sessions) sealOf(body string) string {
	return base64.RawURLEncoding.EncodeToString(seal(s.keys.master, "session", body))
}

func cutLast(text string) (before, after string, ok bool) {
	i := strings.LastIndexByte(text, '.')
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+1:], true
}
