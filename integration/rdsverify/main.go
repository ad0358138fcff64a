// Rdsverify is what stands behind the PAM module of a test server: it reads an RDS token from its
// standard input and ends with status 0 if RDS would let the user in.
//
//	PAM_USER=app rdsverify /srv/x/rdsverify.json < token
//
// The only argument is a configuration file; see the type config. Each decision is one line in the
// log that the configuration names. The log says why a token was refused, since the client is never
// told; it never contains the token.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"dbvalet/integration/rdstoken"
)

// config is the configuration file. integration/servers writes it.
type config struct {
	Host            string `json:"host"`
	Port            int    `json:"port"`
	Region          string `json:"region"`
	AccessKeyID     string `json:"accessKeyID"`
	SecretAccessKey string `json:"secretAccessKey"`
	SessionToken    string `json:"sessionToken"`

	// ClockOffset is added to the clock, such as "16m", to see what becomes of a token that is
	// presented later than it was made.
	ClockOffset string `json:"clockOffset"`

	// Passwords are accepted from these users, and no tokens. For them, the program only stands in for
	// a database's own check of a password that is sent as it is.
	Passwords map[string]string `json:"passwords"`

	// Judge is the address of somebody who decides on the other users, in place of the rules of RDS.
	// Empty: nobody.
	Judge string `json:"judge"`

	// Log is the file to which each decision is appended.
	Log string `json:"log"`
}

const maxToken = 64 << 10 // bytes, as much as PostgreSQL takes for a password

func main() {
	if err := run(os.Args[1:], os.Getenv("PAM_USER"), os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "rdsverify:", err)
		os.Exit(1)
	}
}

// run returns nil if the user may come in.
func run(args []string, user string, stdin io.Reader) error {
	if len(args) != 1 {
		return errors.New("usage: rdsverify <configuration file>")
	}
	c, err := readConfig(args[0])
	if err != nil {
		return err
	}
	token, err := io.ReadAll(io.LimitReader(stdin, maxToken+1))
	if err != nil {
		return fmt.Errorf("read token: %w", err)
	}
	line, refusal := c.decide(user, string(token))
	return errors.Join(refusal, appendLine(c.Log, line))
}

func readConfig(path string) (*config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c := new(config)
	if err := json.Unmarshal(b, c); err != nil {
		return nil, fmt.Errorf("parse %s: %w", path, err)
	}
	return c, nil
}

// decide returns the line for the log, and why the token is refused or nil.
func (c *config) decide(user, token string) (string, error) {
	if password, ok := c.Passwords[user]; ok {
		if token != password {
			err := errors.New("password is wrong")
			return fmt.Sprintf("refused user=%s: %v", user, err), err
		}
		return fmt.Sprintf("accepted user=%s password", user), nil
	}
	if c.Judge != "" {
		if err := ask(c.Judge, user, token); err != nil {
			return fmt.Sprintf("refused user=%s: %v", user, err), err
		}
		return fmt.Sprintf("accepted user=%s by the judge", user), nil
	}
	var offset time.Duration
	if c.ClockOffset != "" {
		var err error
		if offset, err = time.ParseDuration(c.ClockOffset); err != nil {
			return fmt.Sprintf("refused user=%s: %v", user, err), err
		}
	}
	now := time.Now().Add(offset)
	t, err := rdstoken.Parse(token)
	if err == nil {
		err = t.Verify(rdstoken.Expect{
			Host:            c.Host,
			Port:            c.Port,
			Region:          c.Region,
			User:            user,
			AccessKeyID:     c.AccessKeyID,
			SecretAccessKey: c.SecretAccessKey,
			SessionToken:    c.SessionToken,
		}, now)
	}
	if err != nil {
		return fmt.Sprintf("refused user=%s: %v", user, err), err
	}
	return fmt.Sprintf("accepted user=%s token dated %s age %v",
		user, t.Date.Format(time.RFC3339), t.Age(now)), nil
}

// ask lets a judge decide. It gets the user, a zero byte and the token, and says "ok" or why not.
func ask(judge, user, token string) error {
	conn, err := net.Dial("tcp", judge)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(user + "\x00" + token)); err != nil {
		return err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	answer, err := io.ReadAll(conn)
	switch {
	case err != nil:
		return err
	case len(answer) == 0:
		return errors.New("the judge said nothing")
	case string(answer) != "ok":
		return errors.New(string(answer))
	}
	return nil
}

// appendLine writes line with one write call, so that the lines of logins that happen at the same
// time do not mix.
func appendLine(path, line string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line + "\n")
	return errors.Join(err, f.Close())
}
