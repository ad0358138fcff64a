package awsfake

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
)

// RDS is Amazon RDS, as far as DescribeDBInstances, DescribeDBClusters and DescribeSourceRegions go.
//
//	POST / HTTP/1.1
//	Content-Type: application/x-www-form-urlencoded
//	Authorization: AWS4-HMAC-SHA256 …
//
//	Action=DescribeDBInstances&Version=2014-10-31&Marker=…&MaxRecords=…
//
// https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/Welcome.html
type RDS struct {
	service

	mu        sync.Mutex
	page      int // records in one
	instances map[string][]DBInstance
	clusters  map[string][]DBCluster
	regions   []string
	disabled  map[string]bool
}

// A DBInstance is what DescribeDBInstances says of one.
type DBInstance struct {
	DBInstanceIdentifier             string
	DBClusterIdentifier              string `xml:",omitempty"`
	Engine                           string
	EngineVersion                    string
	DBInstanceStatus                 string
	DBName                           string `xml:",omitempty"`
	MasterUsername                   string
	Endpoint                         *DBEndpoint     // nil while it is being made
	MasterUserSecret                 *DBMasterSecret // nil: somebody else keeps the password
	IAMDatabaseAuthenticationEnabled bool
	PubliclyAccessible               bool
}

// A DBEndpoint is where an instance listens.
type DBEndpoint struct {
	Address string
	Port    int
}

// A DBMasterSecret is where RDS keeps the master's password.
type DBMasterSecret struct {
	SecretArn    string
	SecretStatus string
}

// A DBCluster is what DescribeDBClusters says of one.
type DBCluster struct {
	DBClusterIdentifier              string
	Engine                           string
	EngineVersion                    string
	Status                           string
	DatabaseName                     string `xml:",omitempty"`
	MasterUsername                   string
	Endpoint                         string
	ReaderEndpoint                   string
	Port                             int
	IAMDatabaseAuthenticationEnabled bool
	MasterUserSecret                 *DBMasterSecret
	Members                          []DBMember `xml:"DBClusterMembers>DBClusterMember"`
}

// A DBMember is an instance of a cluster.
type DBMember struct {
	DBInstanceIdentifier string
	IsClusterWriter      bool
}

// NewRDS starts one that knows keys and has no databases. A page has 100 records.
func NewRDS(keys *Keys) (*RDS, error) {
	s := &RDS{page: 100, instances: map[string][]DBInstance{}, clusters: map[string][]DBCluster{}, disabled: map[string]bool{}}
	s.service = service{keys: keys, name: "rds"}
	return s, s.start(s)
}

// AddInstance makes an instance.
func (s *RDS) AddInstance(region string, i DBInstance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.instances[region] = append(s.instances[region], i)
}

// AddCluster makes a cluster, without its instances.
func (s *RDS) AddCluster(region string, c DBCluster) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clusters[region] = append(s.clusters[region], c)
}

// SetRegions sets which regions there are, and which of them the account has not enabled.
func (s *RDS) SetRegions(regions []string, disabled ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.regions = regions
	for _, region := range disabled {
		s.disabled[region] = true
	}
}

// SetPage sets how many records a page has where the request does not say less.
func (s *RDS) SetPage(records int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.page = records
}

// ServeHTTP answers one request.
func (s *RDS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	serveQuery(w, r, "http://rds.amazonaws.com/doc/2014-10-31/", s.respond)
}

func (s *RDS) respond(r *http.Request, body []byte, form url.Values) (any, error) {
	signer, err := s.keys.Verify(r, body)
	if err != nil {
		return nil, err
	}
	action := form.Get("Action")
	switch {
	case signer.Service != s.name:
		return nil, &Refusal{http.StatusForbidden, "SignatureDoesNotMatch", "Credential should be scoped to correct service: 'rds'."}
	case r.Method != http.MethodPost || r.URL.Path != "/" || form.Get("Version") != "2014-10-31":
		return nil, &Refusal{http.StatusBadRequest, "InvalidAction", "Could not find operation"}
	}
	failure, err := s.admit(r.Context(), Request{Action: action, Region: signer.Region, KeyID: signer.ID})
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil:
		return nil, err
	case s.disabled[signer.Region]:
		return nil, &Refusal{http.StatusForbidden, "InvalidClientTokenId", "The security token included in the request is invalid"}
	case failure == Denied:
		return nil, &Refusal{http.StatusForbidden, "AccessDenied", fmt.Sprintf("User: %s is not authorized to perform: rds:%s on resource: arn:aws:rds:%s:%s:db:* "+
			"because no identity-based policy allows the rds:%[2]s action", signer.ARN, action, signer.Region, Account)}
	case failure != nil:
		return nil, failure
	}
	var result rdsResult
	switch action {
	case "DescribeDBInstances":
		result.Instances, result.Marker, err = rdsPage(s.instances[signer.Region], form, s.page)
	case "DescribeDBClusters":
		result.Clusters, result.Marker, err = rdsPage(s.clusters[signer.Region], form, s.page)
	case "DescribeSourceRegions": // which are all but the one that is asked
		others := []rdsRegion{}
		for _, name := range s.regions {
			if name != signer.Region {
				others = append(others, rdsRegion{name, "https://rds." + name + ".amazonaws.com", "available"})
			}
		}
		result.Regions, result.Marker, err = rdsPage(others, form, s.page)
	default:
		return nil, &Refusal{http.StatusBadRequest, "InvalidAction", "Could not find operation " + action}
	}
	result.XMLName = xml.Name{Local: action + "Result"}
	return rdsAnswer{XMLName: xml.Name{Space: rdsNamespace, Local: action + "Response"}, Result: result}, err
}

// rdsPage returns the records behind the marker, and the marker of the next page.
func rdsPage[T any](all []T, form url.Values, page int) (records []T, marker string, err error) {
	from := 0
	if m := form.Get("Marker"); m != "" {
		if from, err = strconv.Atoi(m); err != nil || from > len(all) {
			return nil, "", &Refusal{http.StatusBadRequest, "InvalidParameterValue", "Invalid marker"}
		}
	}
	if n, err := strconv.Atoi(form.Get("MaxRecords")); err == nil && n < page {
		page = n
	}
	to := min(from+page, len(all))
	if to < len(all) {
		marker = strconv.Itoa(to)
	}
	return slices.Clone(all[from:to]), marker, nil
}

const rdsNamespace = "http://rds.amazonaws.com/doc/2014-10-31/"

type rdsAnswer struct {
	XMLName xml.Name
	Result  rdsResult
}

type rdsResult struct {
	XMLName   xml.Name
	Marker    string       `xml:",omitempty"`
	Instances []DBInstance `xml:"DBInstances>DBInstance"`
	Clusters  []DBCluster  `xml:"DBClusters>DBCluster"`
	Regions   []rdsRegion  `xml:"SourceRegions>SourceRegion"`
}

type rdsRegion struct {
	RegionName string
	Endpoint   string
	Status     string
}
