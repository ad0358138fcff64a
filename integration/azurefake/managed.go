package azurefake

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// appService serves the managed identities of an App Service, a Function or a Container App.
func (s *Server) appService(w http.ResponseWriter, r *http.Request) {
	s.count()
	query := r.URL.Query()
	switch {
	case r.Header.Get("X-IDENTITY-HEADER") != header:
		answer(w, http.StatusUnauthorized, `{"statusCode":401,"message":"X-IDENTITY-HEADER is missing or wrong"}`)
		return
	case query.Get("api-version") != "2019-08-01", !isResource(query.Get("resource")):
		answer(w, http.StatusBadRequest, `{"statusCode":400,"message":"unexpected api-version or resource"}`)
		return
	}
	token, ok := s.managedToken(query.Get("client_id"), query.Get("resource"))
	if !ok {
		answer(w, http.StatusBadRequest, `{"statusCode":400,"message":"No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId."}`)
		return
	}
	body, _ := json.Marshal(map[string]string{
		"access_token": token.text, "expires_on": strconv.FormatInt(token.expires, 10),
		"resource": query.Get("resource"), "token_type": "Bearer", "client_id": query.Get("client_id"),
	})
	answer(w, http.StatusOK, string(body))
}

// metadata serves the managed identities of a virtual machine. A request without its header is how
// the SDK finds out whether anybody listens.
func (s *Server) metadata(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if r.Header.Get("Metadata") != "true" {
		answer(w, http.StatusBadRequest, `{"error":"invalid_request","error_description":"Required metadata header not specified"}`)
		return
	}
	s.count()
	if query.Get("api-version") != "2018-02-01" || !isResource(query.Get("resource")) {
		answer(w, http.StatusBadRequest, `{"error":"invalid_request","error_description":"unexpected api-version or resource"}`)
		return
	}
	token, ok := s.managedToken(query.Get("client_id"), query.Get("resource"))
	if !ok {
		answer(w, http.StatusBadRequest, `{"error":"invalid_request","error_description":"Identity not found"}`)
		return
	}
	body, _ := json.Marshal(map[string]string{
		"access_token": token.text, "expires_on": strconv.FormatInt(token.expires, 10),
		"expires_in": strconv.FormatInt(token.expires-token.issued, 10), "ext_expires_in": "3600",
		"not_before": strconv.FormatInt(token.issued, 10), "resource": query.Get("resource"), "token_type": "Bearer",
	})
	answer(w, http.StatusOK, string(body))
}

func (s *Server) managedToken(clientID, resource string) (token, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	claims, ok := s.managed[clientID]
	if !ok {
		return token{}, false
	}
	return s.sign(claims, resource), true
}
