package awsconfig

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"dbvalet/integration/awsfake"
)

func TestIdentityIsTheCallersARN(t *testing.T) {
	a := newAccount(t).env()
	sts, keys := a.cloud()
	c := a.config(bothRoles)
	const want = "arn:aws:sts::222222222222:assumed-role/db/orders@laptop"
	for range 2 {
		if got := c.Identity(t.Context()); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := sts.Count("GetCallerIdentity"); got != 1 {
		t.Errorf("STS was asked %d times, want once per key", got)
	}

	c = a.config(Options{})
	for _, id := range []string{"AKIDFIRST", "AKIDNEXT"} {
		keys.Add(id, awsfake.Key{Secret: secretKey, ARN: userARN + id})
		a.write("credentials", "[default]\naws_access_key_id = "+id+"\naws_secret_access_key = "+secretKey+"\n")
		t.Setenv("AWS_ACCESS_KEY_ID", "")
		if got := c.Identity(t.Context()); got != userARN+id {
			t.Errorf("got %s, want that of %s", got, id)
		}
	}
}

func TestIdentityIsLeftOutWhereItCannotBeHad(t *testing.T) {
	for name, prepare := range map[string]func(*awsfake.STS){
		"denied": func(sts *awsfake.STS) { sts.Fail(awsfake.Denied) },
		"down":   func(sts *awsfake.STS) { sts.Fail(awsfake.Down) },
		"closed": func(sts *awsfake.STS) { sts.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			a := newAccount(t).env()
			sts, _ := a.cloud()
			c := a.config(Options{})
			prepare(sts)
			for range 2 {
				if got := c.Identity(t.Context()); got != "" {
					t.Errorf("got %s", got)
				}
			}
			if got := sts.Count(""); got > 1 {
				t.Errorf("STS was asked %d times, want a pause after the first", got)
			}
			if log := a.log.String(); strings.Contains(log, "level=WARN") || strings.Contains(log, "level=ERROR") {
				t.Errorf("logged %s", log)
			}
		})
	}
	t.Run("slow", func(t *testing.T) {
		a := newAccount(t).env()
		sts, _ := a.cloud()
		c := a.config(Options{})
		arrived, release := sts.Hold()
		defer release()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan string)
		go func() { done <- c.Identity(ctx) }()
		<-arrived
		cancel()
		if got := <-done; got != "" {
			t.Errorf("got %s", got)
		}
		release()
		if got := c.Identity(t.Context()); got != userARN {
			t.Errorf("got %s after somebody had gone away, want %s", got, userARN)
		}
	})
	t.Run("no credentials", func(t *testing.T) {
		if got := newAccount(t).config(Options{}).Identity(t.Context()); got != "" {
			t.Errorf("got %s", got)
		}
	})
}

func TestPrincipalOfASessionIsItsRole(t *testing.T) {
	for caller, want := range map[string]string{
		"arn:aws:sts::123456789012:assumed-role/app/i-0abc": "arn:aws:iam::123456789012:role/app",
		"arn:aws-cn:sts::123456789012:assumed-role/app/a@b": "arn:aws-cn:iam::123456789012:role/app",
		"arn:aws:iam::123456789012:user/team/ann":           "arn:aws:iam::123456789012:user/team/ann",
		"arn:aws:sts::123456789012:federated-user/ann":      "arn:aws:sts::123456789012:federated-user/ann",
		"arn:aws:iam::123456789012:root":                    "arn:aws:iam::123456789012:root",
		"":                                                  "",
		"arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_DBA_0123456789abcdef/a": "arn:aws:iam::123456789012:role/AWSReservedSSO_DBA_0123456789abcdef",
	} {
		if got := Principal(caller); got != want {
			t.Errorf("%s: got %s, want %s", caller, got, want)
		}
	}
	if got := Account(userARN); got != "111111111111" {
		t.Errorf("account is %s", got)
	}
	if got := Account(""); got != "*" {
		t.Errorf("account is %s, want any", got)
	}
}

func TestPartitionOfARegion(t *testing.T) {
	for region, want := range map[string]string{
		"eu-west-1": "aws", "us-east-1": "aws", "": "aws", "cn-north-1": "aws-cn", "us-gov-west-1": "aws-us-gov",
		"eusc-de-east-1": "aws-eusc", "us-iso-east-1": "aws-iso", "us-isob-east-1": "aws-iso-b",
	} {
		if got := Partition(region); got != want {
			t.Errorf("%s: got %s, want %s", region, got, want)
		}
	}
}

func TestOnlyMetadataServicesMayBeAskedInClear(t *testing.T) {
	for address, want := range map[string]bool{
		"http://169.254.169.254/": true, "http://169.254.170.2/v2": true, "http://169.254.170.23/": true,
		"http://[fd00:ec2::23]/": true, "http://[fd00:ec2::254]/": true,
		"http://10.0.0.1/": false, "http://sts.amazonaws.com/": false, "http://[fd00:ec3::1]/": false, "http://[2600::1]/": false,
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := isMetadata(t.Context(), u); got != want {
			t.Errorf("%s: got %v, want %v", address, got, want)
		}
	}
}
