package integration

import (
	"fmt"
	"testing"

	"dbvalet/integration/azurefake"
	"dbvalet/integration/servers"
)

// entra decides as a database of Azure does: the token must verify, and be the principal's of the user.
func entra(az *azurefake.Server, object string) func(token string) error {
	return func(token string) error {
		claims, err := az.Verify(token)
		if err == nil && claims["oid"] != object {
			err = fmt.Errorf("the token is of object %v, want %s", claims["oid"], object)
		}
		return err
	}
}

// resource is the id of a user-assigned managed identity.
func resource(name string) string {
	return "/subscriptions/s/resourcegroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/" + name
}

func TestManagedIdentityLogsInAsItself(t *testing.T) {
	p, m, my := pgTokens(t), maria(t), mysqlServer(t, servers.MySQLOptions{})
	az := azurefake.New()
	t.Cleanup(az.Close)
	az.Identity("", azurefake.Claims{"oid": "object-0", "appid": "app-0", "idtyp": "app", "xms_mirid": resource("orders-app")})
	az.Identity("client-1", azurefake.Claims{"oid": "object-1", "appid": "client-1", "idtyp": "app", "xms_mirid": resource("reports")})
	tokenRole(t, "orders-app", entra(az, "object-0"))
	tokenRole(t, "reports", entra(az, "object-1"))
	mariaTokenUser(t, "orders-app", entra(az, "object-0"))
	if err := my.Judge(func(_, token string) error { return entra(az, "object-0")(token) }); err != nil {
		t.Fatal(err)
	}
	alter(t, my, "CREATE USER 'orders-app' "+my.ByToken()+" REQUIRE SSL")
	alter(t, my, "GRANT ALL ON "+my.Database+".* TO 'orders-app'")

	v := start(t, az.Env(),
		route("", p, "auth=azure-entra", "name=derived"), route("orders-app", p, "auth=azure-entra", "name=named"),
		route("", p, "auth=azure-entra", "client_id=client-1", "name=assigned"),
		mysqlRoute("", m, "auth=azure-entra", "name=maria"), mysqlRoute("", my, "auth=azure-entra", "name=mysql"))
	for i, user := range []string{"orders-app", "orders-app", "reports"} {
		psqlProgram.logsInAs(t, v, i, user)
	}
	mariadbProgram.logsInAs(t, v, 3, "orders-app")
	clientProgram{"mysql", func(t *testing.T, addr string) (string, string, error) {
		return mysqlClientAt(t, "mysql9", addr, whoami)
	}}.logsInAs(t, v, 4, "orders-app")
}

func TestRefusedEntraTokenIsExplainedInTheClientsOwnOutput(t *testing.T) {
	p, m := pgTokens(t), maria(t)
	az := azurefake.New()
	t.Cleanup(az.Close)
	az.Identity("", azurefake.Claims{"oid": "object-2", "appid": "app-2", "idtyp": "app", "xms_mirid": resource("guest")})
	tokenRole(t, "guest", entra(az, "another object"))
	mariaTokenUser(t, "guest", entra(az, "another object"))
	v := start(t, az.Env(), route("", p, "auth=azure-entra", "name=pg"), mysqlRoute("", m, "auth=azure-entra", "name=maria"))
	psqlProgram.refused(t, v, 0, `PAM authentication failed for user "guest"`, "HINT:  dbvalet: the token is for app-2", `the user is "guest"`,
		"select * from pgaadauth_create_principal('guest', false, false)")
	mariadbProgram.refused(t, v, 1, "ERROR 1045 (28000)", "Access denied for user 'guest'", "the token is for app-2",
		"CREATE AADUSER 'guest' IDENTIFIED BY 'app-2'")

	az.Deny(7000215, "Invalid client secret provided.")
	fresh := start(t, az.Env(), route("", p, "auth=azure-entra", "name=pg"), mysqlRoute("", m, "auth=azure-entra", "name=maria"))
	psqlProgram.refused(t, fresh, 0, "FATAL:  dbvalet: azure-entra", "HINT:  ")
	mariadbProgram.refused(t, fresh, 1, "ERROR ", "dbvalet: azure-entra", "hint: ")
}
