package servers

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// The languages whose drivers can be run. Scripts run as Client's programs do: they see the
// machine's files, but none of its settings and nothing of the caller's environment.

// pythonRecipe is the recipe for Python with PyMySQL, psycopg and SQLAlchemy.
func pythonRecipe() recipe {
	return recipe{
		name:     "python",
		suite:    "sid",
		user:     "nobody",
		packages: []string{"python3-pymysql", "python3-psycopg", "python3-sqlalchemy"},
		assumed:  []string{"debconf", "media-types"},
	}
}

// Python returns a command that runs a Python script, which may import pymysql, psycopg and sqlalchemy.
func Python(ctx context.Context, script string, args ...string) (*exec.Cmd, error) {
	r, err := openRoot(ctx, "python")
	if err != nil {
		return nil, err
	}
	defer r.Close()
	cmd, err := r.clientCommand(ctx, filepath.Join(r.dir, "usr/bin/python3"), append([]string{script}, args...))
	if err != nil {
		return nil, err
	}
	cmd.Env = append(cmd.Env,
		"PYTHONHOME="+filepath.Join(r.dir, "usr"),
		"PYTHONPATH="+filepath.Join(r.dir, "usr/lib/python3/dist-packages"),
		"PYTHONDONTWRITEBYTECODE=1",
	)
	return cmd, nil
}

// phpRecipe is the recipe for PHP with mysqli and PDO, which both speak to servers through mysqlnd.
func phpRecipe() recipe {
	return recipe{
		name:     "php",
		suite:    "bookworm",
		user:     "nobody",
		packages: []string{"php8.2-cli", "php8.2-mysql"},
		assumed:  []string{"debconf", "php-common", "ucf", "sensible-utils", "media-types", "tzdata", "psmisc"},
	}
}

// PHP returns a command that runs a PHP script, which may use mysqli and PDO.
func PHP(ctx context.Context, script string, args ...string) (*exec.Cmd, error) {
	r, err := openRoot(ctx, "php")
	if err != nil {
		return nil, err
	}
	defer r.Close()
	extensions, err := r.theOne("usr/lib/php/20*")
	if err != nil {
		return nil, err
	}
	settings := []string{"-n", "-d", "extension_dir=" + extensions}
	for _, extension := range []string{"pdo", "mysqlnd", "mysqli", "pdo_mysql"} {
		settings = append(settings, "-d", "extension="+extension)
	}
	return r.clientCommand(ctx, filepath.Join(r.dir, "usr/bin/php8.2"), append(append(settings, script), args...))
}

// javaRecipe is the recipe for Java with MariaDB's Connector/J and pgjdbc. With the compiler, Java runs a program
// from its source. What is assumed is for certificates of the web.
func javaRecipe() recipe {
	return recipe{
		name:     "java",
		suite:    "sid",
		user:     "nobody",
		packages: []string{"openjdk-21-jdk-headless"},
		alone:    []string{"libmariadb-java", "libpostgresql-jdbc-java"},
		assumed:  []string{"debconf", "ca-certificates", "ca-certificates-java", "java-common", "util-linux", "tzdata"},
	}
}

// Java returns a command that runs a Java program, which may use org.mariadb.jdbc and org.postgresql, from
// the one file of its source.
func Java(ctx context.Context, source string, args ...string) (*exec.Cmd, error) {
	r, err := openRoot(ctx, "java")
	if err != nil {
		return nil, err
	}
	defer r.Close()
	home, err := r.theOne("usr/lib/jvm/java-21-openjdk-*")
	if err != nil {
		return nil, err
	}
	jars := filepath.Join(r.dir, "usr/share/java")
	drivers := filepath.Join(jars, "mariadb-java-client.jar") + ":" + filepath.Join(jars, "postgresql.jar")
	first := []string{"-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", drivers, source}
	return r.clientCommand(ctx, filepath.Join(home, "bin/java"), append(first, args...))
}

// theOne returns the only file of the root that matches a pattern.
func (r *root) theOne(pattern string) (string, error) {
	matches, err := filepath.Glob(filepath.Join(r.dir, pattern))
	if err != nil {
		return "", err
	}
	if len(matches) != 1 {
		return "", fmt.Errorf("%d files %s in %s, expected one", len(matches), pattern, r.dir)
	}
	return matches[0], nil
}
