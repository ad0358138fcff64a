package diagnose

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"dbvalet/proxy"
	"dbvalet/tokens"
)

// LoginFacts are those of the step login.
type LoginFacts struct {
	User   string `json:"user"`
	Method string `json:"method,omitempty"` // by which the database asked for the credential
	Server string `json:"server,omitempty"` // its version
	Code   string `json:"code,omitempty"`   // of a refusal: SQLSTATE, or MySQL's number
}

// explainTime is how long the source may take to say what may be the reason.
const explainTime = 5 * time.Second

// login says how the login went.
func (v *visit) login(ctx context.Context, err error) Step {
	facts := LoginFacts{User: v.cred.User, Method: v.probe.Method, Server: v.probe.Server, Code: code(err)}
	switch {
	case v.probe.LoggedIn:
		text := "as " + facts.User
		if facts.Method != "" {
			text += " by " + facts.Method
		}
		if facts.Server != "" {
			text += ", " + facts.Server
		}
		return Step{Status: OK, Took: v.probe.LoginTook, Text: text, Facts: facts}
	case v.report.Failed != "":
		return Step{Status: Skipped}
	}
	step := v.failure(err)
	step.Took, step.Facts = v.probe.LoginTook, facts
	ctx, cancel := context.WithTimeout(ctx, explainTime)
	defer cancel()
	if advice := v.aboutRefusal(ctx, err, facts); len(advice) > 0 {
		step.Advice = advice
	}
	return step
}

// aboutRefusal is what may be behind a refusal, likeliest first; nothing where the error's own hint says it.
func (v *visit) aboutRefusal(ctx context.Context, err error, facts LoginFacts) (advice []Advice) {
	method, other := errors.AsType[*proxy.MethodError](err)
	refused := errors.Is(err, proxy.ErrRejected)
	if !other && !refused {
		return v.byCode(err, facts)
	}
	if refused && tooFar(v.cloudSkew()) {
		advice = append(advice, Advice{Text: "this machine's clock " + skewText(v.cloudSkew(), "AWS") + ", and so the token has the wrong time", Copy: setClock()})
	}
	if refused && v.alias != "" {
		advice = append(advice, v.realName())
	}
	refusal := tokens.Refusal{User: facts.User}
	if other {
		refusal.Method = method.Method
	}
	if remedier, ok := v.Place.Credentials.Source.(tokens.Remedier); ok {
		for _, r := range remedier.Remedies(ctx, refusal) {
			advice = append(advice, Advice(r))
		}
		return advice
	}
	if explainer, ok := v.Place.Credentials.Source.(tokens.Explainer); ok {
		if text := explainer.Explain(ctx, v.User, v.cred); text != "" {
			advice = append(advice, Advice{Text: text})
		}
	}
	if other {
		return append(advice, Advice{Text: v.hint(err)})
	}
	if len(advice) > 0 {
		return advice
	}
	return append(advice, Advice{Text: fmt.Sprintf("the password of %s is not the one that %s has", facts.User, v.Source)}, v.changePassword(facts.User))
}

// changePassword is for the database's administrator.
func (v *visit) changePassword(user string) Advice {
	statement := `\password ` + quote(user, `"`)
	if v.Scheme == "mysql" {
		statement = "ALTER USER " + quote(user, "'") + "@'%' IDENTIFIED BY RANDOM PASSWORD;"
	}
	return Advice{Text: "if nobody knows it any more, the database's administrator sets another", Copy: statement}
}

// byCode is about what a database says for other reasons than the credential.
func (v *visit) byCode(err error, facts LoginFacts) []Advice {
	if v.Scheme == "mysql" {
		return v.byNumber(facts)
	}
	role, database := quote(facts.User, `"`), quote(v.probe.Database, `"`)
	switch facts.Code {
	case "3D000":
		return append(v.unnamed(), Advice{Text: noDatabase(v.probe.Database), Copy: "CREATE DATABASE " + database + ";"})
	case "42501":
		return append(v.unnamed(), Advice{Text: "the user may not connect to this database", Copy: "GRANT CONNECT ON DATABASE " + database + " TO " + role + ";"})
	case "53300":
		return []Advice{
			{Text: "all connections that the server, the database or the role may have are taken; who has them", Copy: "SELECT usename, application_name, state, count(*) FROM pg_stat_activity GROUP BY 1, 2, 3 ORDER BY 4 DESC;"},
			{Text: "max_connections= on the route limits what dbvalet itself takes"},
		}
	case "57P03", "57P01", "57P02":
		return append([]Advice{{Text: "the server starts, stops, recovers or is a standby that takes nobody: try again in a moment"}}, v.status()...)
	case "28000":
		if strings.Contains(err.Error(), "pg_hba.conf") {
			return append(v.unnamed(), Advice{Text: "no line of the server's pg_hba.conf lets this user into this database from this address, encrypted", Copy: fmt.Sprintf("hostssl %s %s %s scram-sha-256", database, role, v.address())})
		}
		return []Advice{{Text: "there is no such role, or it may not log in", Copy: "ALTER ROLE " + role + " LOGIN;"}}
	}
	return nil
}

// unnamed is what to say first about a database that was opened because nothing names one.
func (v *visit) unnamed() []Advice {
	if v.Database != "" || v.to.Database != "" {
		return nil
	}
	return []Advice{{Text: "the route names no database, so that " + v.probe.Database + " was opened: name in the route the one that is meant"}}
}

func noDatabase(name string) string {
	return "there is no database " + name + " on this server: correct the name in the route, or make it"
}

// byNumber is byCode for MySQL.
// https://dev.mysql.com/doc/mysql-errors/en/server-error-reference.html
func (v *visit) byNumber(facts LoginFacts) []Advice {
	user, database := quote(facts.User, "'")+"@'%'", quote(v.probe.Database, "`")
	if v.probe.Database == "" && (facts.Code == "1049" || facts.Code == "1044") {
		return nil // it is about a database that we don't know
	}
	switch facts.Code {
	case "1049":
		return []Advice{{Text: noDatabase(v.probe.Database), Copy: "CREATE DATABASE " + database + ";"}}
	case "1044":
		return []Advice{{Text: "the user may not use this database", Copy: "GRANT ALL ON " + database + ".* TO " + user + ";"}}
	case "1040":
		return []Advice{
			{Text: "all connections that the server may have are taken; who has them", Copy: "SELECT user, command, count(*) FROM information_schema.processlist GROUP BY 1, 2 ORDER BY 3 DESC;"},
			{Text: "max_connections= on the route limits what dbvalet itself takes"},
		}
	case "1203", "1226":
		return []Advice{{Text: "the user has as many connections as it may", Copy: "SHOW CREATE USER " + user + ";"}}
	case "1129":
		return []Advice{{Text: "the server takes nobody from this machine, after too many connections that were broken off", Copy: "TRUNCATE TABLE performance_schema.host_cache;"}}
	case "1130":
		return []Advice{{Text: "the server lets no user in from this machine's address, " + v.address() + ": make one for any host", Copy: "CREATE USER " + user + " ...;"}}
	case "3118", "4151":
		return []Advice{{Text: "the account is locked", Copy: "ALTER USER " + user + " ACCOUNT UNLOCK;"}}
	case "1862", "1820":
		return []Advice{{Text: "the password has expired", Copy: "ALTER USER " + user + " PASSWORD EXPIRE NEVER;"}}
	case "1053":
		return append([]Advice{{Text: "the server is stopping: try again in a moment"}}, v.status()...)
	}
	return nil
}

// address is ours, as pg_hba.conf writes it.
func (v *visit) address() string {
	host, bits := "ADDRESS", "32"
	if v.local != nil {
		if h, _, ok := cutPort(v.local.String()); ok {
			host = h
		}
	}
	if strings.Contains(host, ":") {
		bits = "128"
	}
	return host + "/" + bits
}

func quote(s, mark string) string { return mark + strings.ReplaceAll(s, mark, mark+mark) + mark }
