package main

import (
	"context"
	"log/slog"
	"net"
	"strings"

	"github.com/spf13/cobra"

	"dbvalet/tokens"
	"dbvalet/tokens/azure"
)

// azurePlace says which servers of Azure are meant, and who asks.
type azurePlace struct {
	options       azure.Options
	subscriptions []string
	user          string
}

func newDiscoverAzureCommand() *cobra.Command {
	p := azurePlace{options: azure.Options{Log: slog.New(slog.DiscardHandler)}}
	cmd := &cobra.Command{
		Use:   "azure [flags]",
		Short: "List the flexible servers for PostgreSQL and MySQL",
		Long: `azure lists the flexible servers of Azure Database for PostgreSQL and MySQL in the
subscriptions that you can see, says whether Microsoft Entra authentication is on
and how to turn it on, and prints routes.

It needs the role Reader.`,
		Example: "  dbvalet discover azure --subscription 00000000-0000-0000-0000-000000000000",
	}
	newFindCommand(cmd, p.find)
	cmd.Flags().StringSliceVar(&p.subscriptions, "subscription", nil, "`ID` of a subscription, may be repeated (default: all that you can see)")
	cmd.Flags().StringVar(&p.options.Tenant, "tenant", "", "`ID` or domain of the tenant")
	cmd.Flags().StringVar(&p.options.Cloud, "cloud", "", "public, usgovernment or china")
	cmd.Flags().StringVar(&p.options.ClientID, "client-id", "", "`ID` of a managed or workload identity")
	cmd.Flags().StringVar(&p.user, "user", "", "database user `NAME` in the routes (default: whoever the token is for)")
	return cmd
}

func (p *azurePlace) find(ctx context.Context) ([]finding, error) {
	list, err := azure.List(ctx, p.options, p.subscriptions)
	if err != nil {
		return nil, err
	}
	var found []finding
	for _, s := range list {
		found = append(found, p.finding(s))
	}
	return found, nil
}

// finding says what there is to say about s.
func (p *azurePlace) finding(s azure.Server) finding {
	r := draft{Name: s.Name, Scheme: s.Engine, User: p.user, Host: s.Host, Port: "5432", Database: "postgres"}
	engine := "PostgreSQL "
	if s.Engine == "mysql" {
		r.Port, r.Database, engine = "3306", "", "MySQL "
	}
	f := finding{
		Name: s.Name, Engine: engine + s.Version, Where: s.Location, IAM: isOn(s.Entra), Public: s.Public, Status: strings.ToLower(s.State),
	}
	if s.Host != "" {
		f.Endpoint = net.JoinHostPort(s.Host, r.Port)
	}
	switch {
	case s.EntraUnknown:
		f.IAM, f.Note = iamUnknown, "Microsoft.DBforMySQL/flexibleServers/administrators/read is missing to know it"
	case !s.Entra && s.Engine == "mysql":
		f.Enable = "az mysql flexible-server ad-admin create --resource-group " + tokens.Quote(s.Group) + " --server-name " + s.Name +
			" --display-name NAME --object-id ID --identity IDENTITY"
	case !s.Entra:
		f.Enable = "az postgres flexible-server update --ids " + tokens.Quote(s.ID) + " --microsoft-entra-auth Enabled"
	}
	if s.Host == "" || f.IAM == iamOff {
		return f
	}
	r.add("auth", azureEntra)
	r.add("cloud", p.options.Cloud)
	r.add("tenant", p.options.Tenant)
	r.add("client_id", p.options.ClientID)
	f.propose(r)
	return f
}
