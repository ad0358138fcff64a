package gcpfake

import (
	"encoding/json"
	"net/http"
)

// answer writes v as JSON.
func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// refuseOAuth writes an error as the token endpoint does, after RFC 6749, section 5.2.
func refuseOAuth(w http.ResponseWriter, status int, code, description string) {
	answer(w, status, map[string]string{"error": code, "error_description": description})
}

// refuse writes an error as Google's APIs do. An empty reason leaves the details out.
// https://cloud.google.com/apis/design/errors
func refuse(w http.ResponseWriter, code int, status, reason, message string) {
	e := map[string]any{"code": code, "message": message, "status": status}
	if reason != "" {
		e["details"] = []any{map[string]any{
			"@type":  "type.googleapis.com/google.rpc.ErrorInfo",
			"reason": reason,
			"domain": "googleapis.com",
		}}
	}
	answer(w, code, map[string]any{"error": e})
}
