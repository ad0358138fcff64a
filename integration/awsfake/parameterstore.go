package awsfake

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ParameterStore is the Parameter Store of AWS Systems Manager, as far as GetParameter goes. All
// parameters are of the type SecureString, and come encrypted if the request does not say otherwise.
type ParameterStore struct {
	service

	mu         sync.Mutex
	parameters []*parameter
}

type parameter struct {
	region, name string
	values       []string       // of version 1, 2 and so on
	labels       map[string]int // their versions
	changed      time.Time
}

// NewParameterStore starts one that knows keys.
func NewParameterStore(keys *Keys) (*ParameterStore, error) {
	s := &ParameterStore{}
	s.service = service{keys: keys, name: "ssm", prefix: "AmazonSSM", action: "GetParameter", answer: s.getParameter}
	return s, s.start(s)
}

// Put gives a parameter another version, and returns its number.
func (s *ParameterStore) Put(region, name, value string) (version int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.find(region, name)
	if p == nil {
		p = &parameter{region: region, name: name, labels: make(map[string]int)}
		s.parameters = append(s.parameters, p)
	}
	p.values = append(p.values, value)
	p.changed = time.Now()
	return len(p.values)
}

// Label attaches a label to a version of a parameter that exists, and takes it off any other.
func (s *ParameterStore) Label(region, name string, version int, label string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.find(region, name).labels[label] = version
}

// find returns the parameter with a name or an ARN, or nil.
func (s *ParameterStore) find(region, name string) *parameter {
	i := slices.IndexFunc(s.parameters, func(p *parameter) bool {
		return p.region == region && (p.name == name || parameterARN(region, p.name) == name)
	})
	if i < 0 {
		return nil
	}
	return s.parameters[i]
}

// parameterARN returns the ARN of a parameter, and an ARN as it is.
func parameterARN(region, name string) string {
	if strings.HasPrefix(name, "arn:") {
		return name
	}
	return "arn:aws:ssm:" + region + ":" + Account + ":parameter/" + strings.TrimPrefix(name, "/")
}

func (s *ParameterStore) getParameter(signer Signer, body []byte) (any, error) {
	var in struct {
		Name           string
		WithDecryption bool
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, &Refusal{http.StatusBadRequest, "SerializationException", ""}
	}
	name, selector := in.Name, ""
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		name, selector = name[:colon], name[colon:]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.find(signer.Region, name)
	if p == nil {
		return nil, &Refusal{Status: http.StatusBadRequest, Code: "ParameterNotFound"}
	}
	version, err := p.version(strings.TrimPrefix(selector, ":"))
	if err != nil {
		return nil, err
	}
	value := p.values[version-1]
	if !in.WithDecryption {
		value = "AQICAHciphertext"
	}
	out := map[string]any{"ARN": parameterARN(p.region, p.name), "DataType": "text", "Name": p.name, "Type": "SecureString",
		"LastModifiedDate": float64(p.changed.UnixMilli()) / 1000, "Value": value, "Version": version}
	if selector != "" {
		out["Selector"] = selector
	}
	return map[string]any{"Parameter": out}, nil
}

// version returns the version that a selector means: a number, a label, or the newest if it is empty.
func (p *parameter) version(selector string) (int, error) {
	if selector == "" {
		return len(p.values), nil
	}
	version, err := strconv.Atoi(selector)
	if err != nil {
		version = p.labels[selector]
	}
	if version < 1 || version > len(p.values) {
		return 0, &Refusal{http.StatusBadRequest, "ParameterVersionNotFound",
			"Systems Manager could not find version " + selector + " of " + p.name + ". Verify the version and try again."}
	}
	return version, nil
}
