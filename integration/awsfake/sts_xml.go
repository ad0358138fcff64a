package awsfake

import (
	"encoding/xml"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
)

type stsIdentity struct {
	XMLName xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ GetCallerIdentityResponse"`
	Account string   `xml:"GetCallerIdentityResult>Account"`
	Arn     string   `xml:"GetCallerIdentityResult>Arn"`
	UserID  string   `xml:"GetCallerIdentityResult>UserId"`
}

func callerIdentity(signer Signer) stsIdentity {
	a, _ := arn.Parse(signer.ARN)
	return stsIdentity{Account: a.AccountID, Arn: signer.ARN, UserID: signer.ID}
}

// stsSession is the answer of AssumeRole and its like.
type stsSession struct {
	XMLName xml.Name
	Result  stsResult
}

type stsResult struct {
	XMLName         xml.Name
	AccessKeyID     string `xml:"Credentials>AccessKeyId"`
	SecretAccessKey string `xml:"Credentials>SecretAccessKey"`
	SessionToken    string `xml:"Credentials>SessionToken"`
	Expiration      string `xml:"Credentials>Expiration"`
	Arn             string `xml:"AssumedRoleUser>Arn"`
	ID              string `xml:"AssumedRoleUser>AssumedRoleId"`
}

func assumed(action, id string, key Key) stsSession {
	return stsSession{
		XMLName: xml.Name{Space: "https://sts.amazonaws.com/doc/2011-06-15/", Local: action + "Response"},
		Result: stsResult{
			XMLName:         xml.Name{Local: action + "Result"},
			AccessKeyID:     id,
			SecretAccessKey: key.Secret,
			SessionToken:    key.SessionToken,
			Expiration:      key.Expires.Format(time.RFC3339),
			Arn:             key.ARN,
			ID:              "AROAEXAMPLE:" + id,
		},
	}
}
