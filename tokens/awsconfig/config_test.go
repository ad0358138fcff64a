package awsconfig

import (
	"context"
	"testing"
	"time"
)

func TestConfigurationIsLoadedOnlyWhenUsed(t *testing.T) {
	a := newAccount(t).process("echo '" + processOutput(time.Now().Add(time.Hour)) + "'")
	c := a.config(Options{Profile: "dev"})
	if c.loaded != nil {
		t.Error("the SDK's configuration is loaded before it is used")
	}
	a.runs(0)
	retrieve(t, c)
	retrieve(t, c)
	a.runs(1)
}

func TestConfigurationThatFailsIsLoadedAgain(t *testing.T) {
	a := newAccount(t)
	c := a.config(Options{Profile: "dev"})
	wantError(t, failure(t, c), true, `no profile "dev"`, "aws configure list-profiles")
	a.write("credentials", "[dev]\naws_access_key_id = "+keyID+"\naws_secret_access_key = "+secretKey+"\n")
	retrieve(t, c)
}

func TestReplacedCredentialsFileIsSeen(t *testing.T) {
	a := newAccount(t)
	c := a.config(Options{})
	for _, key := range []string{"AKIDFIRST", "AKIDNEXT"} { // of other length: times of files are coarse
		a.write("credentials", "[default]\naws_access_key_id = "+key+"\naws_secret_access_key = "+secretKey+"\n")
		if creds := retrieve(t, c); creds.AccessKeyID != key {
			t.Errorf("got %s, want %s", creds.AccessKeyID, key)
		}
	}
}

func TestRegionIsTheFirstThatIsKnown(t *testing.T) {
	for _, tt := range []struct {
		name, option, environment, profile, fallback, want string
	}{
		{"option", "eu-west-1", "eu-west-2", "eu-west-3", "eu-north-1", "eu-west-1"},
		{"environment", "", "eu-west-2", "eu-west-3", "eu-north-1", "eu-west-2"},
		{"profile", "", "", "eu-west-3", "eu-north-1", "eu-west-3"},
		{"default", "", "", "", "eu-north-1", "eu-north-1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newAccount(t).env()
			if tt.profile != "" {
				a.write("config", "[default]\nregion = "+tt.profile+"\n")
			}
			t.Setenv("AWS_REGION", tt.environment)
			c := a.config(Options{Region: tt.option, DefaultRegion: "us-east-1"})
			if _, err := c.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.SetDefaultRegion(tt.fallback)
			if sdk, err := c.Load(t.Context()); err != nil || sdk.Region != tt.want {
				t.Errorf("got %s, %v, want %s", sdk.Region, err, tt.want)
			}
		})
	}
}

func TestConcurrentCallersShareOneProcess(t *testing.T) {
	a := newAccount(t).process("echo '" + processOutput(time.Now().Add(time.Hour)) + "'")
	c := a.config(Options{Profile: "dev"})
	done := make(chan error)
	for range 20 {
		go func() {
			_, err := c.Retrieve(context.WithoutCancel(t.Context()))
			done <- err
		}()
	}
	for range 20 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	a.runs(1)
}
