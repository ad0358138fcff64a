package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"dbvalet/tokens/awsconfig"
	"dbvalet/tokens/awsrds"
)

// awsPlace says which databases of AWS are meant, and who asks.
type awsPlace struct {
	profile, region string
	allRegions      bool
	user            string
}

// placeholder stands for the database user, whom AWS does not know.
const placeholder = "app"

func newDiscoverAWSCommand() *cobra.Command {
	var p awsPlace
	cmd := &cobra.Command{
		Use:   "aws [flags]",
		Short: "List the databases of Amazon RDS and Aurora",
		Long: `aws lists the instances of Amazon RDS and the endpoints of Aurora clusters that
speak PostgreSQL or MySQL, says whether IAM login is on and how to turn it on,
and prints routes. Where it is off and RDS keeps the master user's password in a
secret, the route logs in with that.

It needs rds:DescribeDBInstances and rds:DescribeDBClusters, and with
--all-regions rds:DescribeSourceRegions. Not listed are RDS Proxy and Aurora DSQL;
routes to them work all the same.`,
		Example: `  dbvalet discover aws --profile dev --user app
  dbvalet discover aws --all-regions --json | jq -r '.[] | select(.iam_login == "off") | .enable'`,
	}
	newFindCommand(cmd, p.find)
	cmd.Flags().StringVar(&p.profile, "profile", "", "`NAME` of a profile of the AWS configuration (default: AWS_PROFILE, or default)")
	cmd.Flags().StringVar(&p.region, "region", "", "`REGION` to look in (default: as the AWS configuration says)")
	cmd.Flags().BoolVar(&p.allRegions, "all-regions", false, "look in all regions that the account has")
	cmd.Flags().StringVar(&p.user, "user", placeholder, "database user `NAME` in the routes")
	cmd.MarkFlagsMutuallyExclusive("region", "all-regions")
	return cmd
}

// regionsAtOnce is how many regions are asked at a time.
const regionsAtOnce = 8

// find lists the databases of a region, or of all.
func (p *awsPlace) find(ctx context.Context) ([]finding, error) {
	c, err := awsconfig.New(awsconfig.Options{Profile: p.profile, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	regions := []string{p.region}
	if p.allRegions {
		if regions, err = awsrds.Regions(ctx, c); err != nil {
			return nil, err
		}
	}
	lists, errs := make([][]awsrds.Database, len(regions)), make([]error, len(regions))
	places := make(chan bool, regionsAtOnce)
	var asking sync.WaitGroup
	for i, region := range regions {
		places <- true
		asking.Go(func() {
			defer func() { <-places }()
			lists[i], errs[i] = awsrds.List(ctx, c, region)
		})
	}
	asking.Wait()
	var found []finding
	for i, list := range lists {
		for _, d := range list {
			f := p.finding(d)
			if f.Role == "reader" {
				found[len(found)-1].Role = "writer" // List has it right before
			}
			found = append(found, f)
		}
		if p.allRegions && errors.Is(errs[i], awsrds.ErrNotEnabled) {
			errs[i] = nil
		}
	}
	return found, cmp.Or(errs...)
}

// finding says what there is to say about d.
func (p *awsPlace) finding(d awsrds.Database) finding {
	f := finding{
		Name: d.Name, Engine: awsEngine(d.Engine, d.Version), Where: d.Region, IAM: isOn(d.IAM), Public: d.Public, Status: d.Status,
	}
	if d.Reader {
		f.Role = "reader"
	}
	if d.Host != "" {
		f.Endpoint = net.JoinHostPort(d.Host, d.Port)
	}
	f.Enable, f.Note = p.enable(d)
	r := draft{Name: d.Name, Scheme: "postgres", User: p.user, Host: d.Host, Port: d.Port, Database: d.Database}
	if d.Reader {
		r.Name += "-ro"
	}
	if slices.Contains([]string{"mysql", "mariadb", "aurora", "aurora-mysql"}, d.Engine) {
		r.Scheme = "mysql"
	}
	switch {
	case d.Host == "":
		return f
	case d.IAM:
	case d.Secret != "":
		r.User = ""
		r.add("auth", "awssecretsmanager://"+d.Secret)
	default:
		return f
	}
	r.add("profile", p.profile)
	f.propose(r)
	return f
}

// enable is the command that turns the IAM login on, where it is off, and a note where there is none.
func (p *awsPlace) enable(d awsrds.Database) (command, note string) {
	if d.IAM {
		return "", ""
	}
	if d.Secret != "" {
		note = d.Name + ": the route logs in as " + d.Master + ", with the password that RDS keeps"
	}
	if !d.CanIAM {
		return "", strings.TrimPrefix(note+"; RDS has IAM login in MariaDB from 10.11 on", "; ")
	}
	return d.AskIAM(p.profile), note
}

// awsEngine is the engine as people call it. Aurora MySQL has a version of its own behind MySQL's.
func awsEngine(engine, version string) string {
	names := map[string]string{
		"postgres": "PostgreSQL", "mysql": "MySQL", "mariadb": "MariaDB",
		"aurora-postgresql": "Aurora PostgreSQL", "aurora-mysql": "Aurora MySQL", "aurora": "Aurora MySQL",
	}
	if _, own, ok := strings.Cut(version, ".mysql_aurora."); ok {
		version = own
	}
	return strings.TrimSpace(names[engine] + " " + version)
}
