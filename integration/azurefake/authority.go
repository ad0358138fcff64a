package azurefake

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// discovery says where the other endpoints of the authority are.
func (s *Server) discovery(w http.ResponseWriter, r *http.Request) {
	base := "https://" + r.Host + "/" + r.PathValue("tenant")
	body, _ := json.Marshal(map[string]string{
		"issuer": base + "/v2.0", "token_endpoint": base + "/oauth2/v2.0/token", "authorization_endpoint": base + "/oauth2/v2.0/authorize",
	})
	answer(w, http.StatusOK, string(body))
}

// grant gives a token to a service principal that shows what it has to show.
func (s *Server) grant(w http.ResponseWriter, r *http.Request) {
	s.count()
	resource, isScope := strings.CutSuffix(firstWord(r.PostFormValue("scope")), "/.default")
	s.mu.Lock()
	app, known := s.apps[r.PostFormValue("client_id")]
	s.mu.Unlock()
	const jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	switch {
	case r.PathValue("tenant") != Tenant:
		refuse(w, 90002, fmt.Sprintf("Tenant '%s' not found. Check to make sure you have the correct tenant ID.", r.PathValue("tenant")))
	case r.PostFormValue("grant_type") != "client_credentials":
		refuse(w, 70003, "The app requested an unsupported grant type.")
	case !isScope || !isResource(resource):
		refuse(w, 500011, "The resource principal named "+resource+" was not found in the tenant.")
	case !known:
		refuse(w, 700016, "Application with identifier was not found in the directory.")
	case app.secret != "" && r.PostFormValue("client_secret") != app.secret:
		refuse(w, 7000215, "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID.")
	case app.assertion != "" && (r.PostFormValue("client_assertion") != app.assertion || r.PostFormValue("client_assertion_type") != jwtBearer):
		refuse(w, 700213, "No matching federated identity record found for presented assertion subject.")
	default:
		s.mu.Lock()
		token := s.sign(app.claims, resource)
		s.mu.Unlock()
		answer(w, http.StatusOK, fmt.Sprintf(`{"token_type":"Bearer","expires_in":%d,"ext_expires_in":%[1]d,"access_token":%q}`,
			token.expires-token.issued, token.text))
	}
}

// refuse answers as Microsoft Entra does.
func refuse(w http.ResponseWriter, code int, text string) {
	body, _ := json.Marshal(map[string]any{
		"error":             "invalid_client",
		"error_description": fmt.Sprintf("AADSTS%d: %s Trace ID: 0b8a Correlation ID: 5c1e Timestamp: 2026-01-02 03:04:05Z", code, text),
		"error_codes":       []int{code},
	})
	answer(w, http.StatusUnauthorized, string(body))
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word
}
