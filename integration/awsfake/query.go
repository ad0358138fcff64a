package awsfake

import (
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/url"
)

// A queryError is an error of the query protocol. Its name says whose.
type queryError struct {
	XMLName   xml.Name
	Type      string `xml:"Error>Type"`
	Code      string `xml:"Error>Code"`
	Message   string `xml:"Error>Message"`
	RequestID string `xml:"RequestId"`
}

// serveQuery answers a request of the query protocol, which is a form, in XML of a namespace.
//
// https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
func serveQuery(w http.ResponseWriter, r *http.Request, namespace string, respond func(r *http.Request, body []byte, form url.Values) (any, error)) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return // the client is gone
	}
	var answer any
	form, err := url.ParseQuery(string(body))
	if err != nil {
		err = &Refusal{http.StatusBadRequest, "MalformedQueryString", "The body is not a form"}
	} else {
		answer, err = respond(r, body, form)
	}
	refusal, refused := errors.AsType[*Refusal](err)
	switch {
	case refused && refusal.Status == 0:
		panic(http.ErrAbortHandler) // which closes the connection
	case err != nil && !refused:
		return // the client is gone
	}
	w.Header().Set("Content-Type", "text/xml")
	if refused {
		answer = queryError{
			XMLName: xml.Name{Space: namespace, Local: "ErrorResponse"},
			Type:    "Sender", Code: refusal.Code, Message: refusal.Message, RequestID: "r",
		}
		w.WriteHeader(refusal.Status)
	}
	_ = xml.NewEncoder(w).Encode(answer)
}
