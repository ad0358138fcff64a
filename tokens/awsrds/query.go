package awsrds

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"dbvalet/tokens"
)

const (
	apiVersion  = "2014-10-31"
	maxAnswer   = 16 << 20 // bytes; a page of 100 instances has less than one MiB
	maxPages    = 1000     // of 100, which is more than RDS allows in one region
	queryTries  = 3
	queryPause  = 300 * time.Millisecond // before the second try; twice that before the third
	serviceName = "RDS"                  // as the SDK's configuration calls it
)

// A query is an action of the RDS API. The request is made here, and signed with the SDK's signer: the
// SDK's client of RDS has 160 actions, of which the linker can't drop any, and three are used.
//
//	POST / HTTP/1.1
//	Content-Type: application/x-www-form-urlencoded
//	Authorization: AWS4-HMAC-SHA256 …
//
//	Action=DescribeDBInstances&Version=2014-10-31&Marker=…
//
// https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DescribeDBInstances.html
type query struct {
	action string
	region string
	sdk    aws.Config
	client aws.HTTPClient
}

// httpClient is the SDK's own, unless its configuration has one, as for AWS_CA_BUNDLE.
func httpClient(sdk aws.Config) aws.HTTPClient {
	if sdk.HTTPClient != nil {
		return sdk.HTTPClient
	}
	return awshttp.NewBuildableClient()
}

// pages calls each with all pages of the answer.
func (q query) pages(ctx context.Context, each func(page *answer)) error {
	marker := ""
	for range maxPages {
		page, err := q.page(ctx, marker)
		if err != nil {
			return &smithy.OperationError{ServiceID: serviceName, OperationName: q.action, Err: err}
		}
		each(page)
		if page.Marker == "" || page.Marker == marker {
			return nil
		}
		marker = page.Marker
	}
	return nil
}

// page asks for one page, again where RDS is out of order or overtaxed.
func (q query) page(ctx context.Context, marker string) (*answer, error) {
	tries := cmp.Or(q.sdk.RetryMaxAttempts, queryTries)
	for try := 1; ; try++ {
		page, err := q.send(ctx, marker)
		if err == nil || try >= tries || !passing(err) {
			return page, err
		}
		timer := time.NewTimer(queryPause << (try - 1))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
	}
}

// passing reports whether RDS may answer differently in a moment.
func passing(err error) bool {
	if r, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && r.HTTPStatusCode() >= http.StatusInternalServerError {
		return true
	}
	api, ok := errors.AsType[smithy.APIError](err)
	return ok && (strings.Contains(api.ErrorCode(), "Throttl") || api.ErrorCode() == "RequestLimitExceeded")
}

func (q query) send(ctx context.Context, marker string) (*answer, error) {
	form := url.Values{"Action": {q.action}, "Version": {apiVersion}}
	if marker != "" {
		form.Set("Marker", marker)
	}
	body := []byte(form.Encode())
	at, err := q.endpoint(ctx)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, at.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	creds, err := q.sdk.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, creds, request, hex.EncodeToString(sum[:]), "rds", q.region, time.Now()); err != nil {
		return nil, err
	}
	response, err := q.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: response}, Err: refusal(text)}
	}
	return parseAnswer(text)
}

// suffix is the DNS suffix of a region's services.
func suffix(region string) string {
	for prefix, suffix := range map[string]string{"cn-": "amazonaws.com.cn", "eusc-": "amazonaws.eu", "us-iso-": "c2s.ic.gov", "us-isob-": "sc2s.sgov.gov"} {
		if strings.HasPrefix(region, prefix) {
			return suffix
		}
	}
	return "amazonaws.com"
}

// endpoint is where RDS is: as AWS_ENDPOINT_URL_RDS, AWS_ENDPOINT_URL or a profile says, or else AWS's
// own. The session token is in the request, so that it must not go in clear.
func (q query) endpoint(ctx context.Context) (*url.URL, error) {
	text := aws.ToString(q.sdk.BaseEndpoint)
	for _, source := range q.sdk.ConfigSources {
		if s, ok := source.(interface {
			GetServiceBaseEndpoint(ctx context.Context, service string) (string, bool, error)
		}); ok {
			if said, found, err := s.GetServiceBaseEndpoint(ctx, serviceName); err == nil && found {
				text = said
				break
			}
		}
	}
	u, err := url.Parse(cmp.Or(text, "https://rds."+q.region+"."+suffix(q.region)))
	if err != nil || u.Host == "" {
		return nil, errors.New("AWS_ENDPOINT_URL_RDS or AWS_ENDPOINT_URL is no URL")
	}
	if !tokens.Private(u) {
		return nil, tokens.ErrInClear
	}
	u.Path = cmp.Or(u.Path, "/")
	return u, nil
}

// refusal is the error in the answer's body.
func refusal(text []byte) error {
	var e struct {
		Code    string `xml:"Error>Code"`
		Message string `xml:"Error>Message"`
	}
	if xml.Unmarshal(text, &e) != nil || e.Code == "" {
		return errors.New("the answer is no error of RDS")
	}
	return &smithy.GenericAPIError{Code: e.Code, Message: e.Message}
}

// An answer is a page of any of the actions that are used. What has no field here is skipped.
type answer struct {
	Marker    string
	Instances []dbInstance
	Clusters  []dbCluster
	Regions   []sourceRegion
}

type dbInstance struct {
	Name    string `xml:"DBInstanceIdentifier"`
	Cluster string `xml:"DBClusterIdentifier"`
	Engine  string
	Version string `xml:"EngineVersion"`
	Status  string `xml:"DBInstanceStatus"`
	DBName  string
	Master  string `xml:"MasterUsername"`
	Secret  string `xml:"MasterUserSecret>SecretArn"`
	Host    string `xml:"Endpoint>Address"`
	Port    string `xml:"Endpoint>Port"`
	IAM     bool   `xml:"IAMDatabaseAuthenticationEnabled"`
	Public  bool   `xml:"PubliclyAccessible"`
}

type dbCluster struct {
	Name    string `xml:"DBClusterIdentifier"`
	Engine  string
	Version string `xml:"EngineVersion"`
	Status  string
	DBName  string `xml:"DatabaseName"`
	Master  string `xml:"MasterUsername"`
	Secret  string `xml:"MasterUserSecret>SecretArn"`
	Writer  string `xml:"Endpoint"`
	Reader  string `xml:"ReaderEndpoint"`
	Port    string
	IAM     bool `xml:"IAMDatabaseAuthenticationEnabled"`
	Public  bool `xml:"PubliclyAccessible"` // of those that are no Aurora
	Members []struct {
		Writer bool `xml:"IsClusterWriter"`
	} `xml:"DBClusterMembers>DBClusterMember"`
}

type sourceRegion struct {
	Name string `xml:"RegionName"`
}

// parseAnswer reads the answer of any action: <ACTIONResponse><ACTIONResult>…
func parseAnswer(text []byte) (*answer, error) {
	var response struct {
		XMLName xml.Name
		Result  []struct {
			XMLName   xml.Name
			Marker    string
			Instances []dbInstance   `xml:"DBInstances>DBInstance"`
			Clusters  []dbCluster    `xml:"DBClusters>DBCluster"`
			Regions   []sourceRegion `xml:"SourceRegions>SourceRegion"`
		} `xml:",any"`
	}
	if err := xml.Unmarshal(text, &response); err != nil {
		return nil, fmt.Errorf("the answer is no XML of RDS: %w", err)
	}
	for _, r := range response.Result {
		if strings.HasSuffix(r.XMLName.Local, "Result") {
			return &answer{r.Marker, r.Instances, r.Clusters, r.Regions}, nil
		}
	}
	return nil, errors.New("the answer has no result")
}
