package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dbvalet/tokens"
	"dbvalet/tokens/gcpconnector"
)

// gcpPlace says which instances of Cloud SQL are meant, and who asks.
type gcpPlace struct {
	options gcpconnector.ListOptions
	user    string
}

func newDiscoverGCPCommand() *cobra.Command {
	var p gcpPlace
	cmd := &cobra.Command{
		Use:   "gcp [flags]",
		Short: "List the instances of Cloud SQL",
		Long: `gcp lists the instances of Cloud SQL in a project that speak PostgreSQL or MySQL,
says whether IAM login is on and how to turn it on, and prints routes that reach
them by the connector.

It needs cloudsql.instances.list, in roles/cloudsql.viewer. AlloyDB is not listed;
routes to it work all the same, with auth=gcp-iam and service=alloydb.`,
		Example: "  dbvalet discover gcp --project shop-prod",
	}
	newFindCommand(cmd, p.find)
	cmd.Flags().StringVar(&p.options.Project, "project", "", "`ID` of the project (default: GOOGLE_CLOUD_PROJECT, or that of the credentials)")
	cmd.Flags().StringSliceVar(&p.options.Impersonate, "impersonate-service-account", nil, "`EMAIL` to ask as, and to log in as")
	cmd.Flags().StringVar(&p.user, "user", "", "database user `NAME` in the routes (default: whoever the credentials are)")
	return cmd
}

func (p *gcpPlace) find(ctx context.Context) ([]finding, error) {
	list, err := gcpconnector.List(ctx, p.options)
	if err != nil {
		return nil, err
	}
	var found []finding
	for _, i := range list {
		found = append(found, p.finding(i))
	}
	return found, nil
}

// finding says what there is to say about i.
func (p *gcpPlace) finding(i gcpconnector.Instance) finding {
	f := finding{
		Name: i.Name, Engine: gcpEngine(i.Version), Where: i.Region, Endpoint: i.ConnectionName(), IAM: isOn(i.IAM),
		Public: slices.Contains(i.IPTypes, "public"), Status: strings.ToLower(i.State),
	}
	if i.Replica {
		f.Role = "reader"
	}
	if !i.IAM {
		f.Enable = enableCloudSQL(i)
		return f
	}
	r := draft{Name: i.Name, Scheme: i.Engine, User: p.user}
	r.add("instance", i.ConnectionName())
	switch {
	case f.Public: // the default
	case len(i.IPTypes) > 0:
		r.add("ip_type", i.IPTypes[0])
	}
	r.add("impersonate_service_account", strings.Join(p.options.Impersonate, ","))
	f.propose(r)
	return f
}

// enableCloudSQL is the command that turns the IAM login on. It sets all flags, as those that are left
// out would be taken away.
func enableCloudSQL(i gcpconnector.Instance) string {
	flags := maps.Clone(i.Flags)
	flags[i.IAMFlag()] = iamOn
	var pairs []string
	separator := ","
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		pairs = append(pairs, name+"="+flags[name])
		if strings.Contains(flags[name], ",") {
			separator = "~"
		}
	}
	text := strings.Join(pairs, separator)
	if separator != "," {
		text = "^" + separator + "^" + text // as "gcloud topic escaping" has it
	}
	return fmt.Sprintf("gcloud sql instances patch %s --project=%s %s", i.Name, i.Project, tokens.Quote("--database-flags="+text))
}

// gcpEngine is the engine as people call it: POSTGRES_17 is PostgreSQL 17.
func gcpEngine(version string) string {
	name, number, _ := strings.Cut(version, "_")
	name = map[string]string{"POSTGRES": "PostgreSQL", "MYSQL": "MySQL"}[name]
	return strings.TrimSpace(name + " " + strings.ReplaceAll(number, "_", "."))
}
