// Package servers starts real database servers for tests, demonstrations and benchmarks, and runs
// the databases' own client programs. Nothing has to be installed for it, and nothing is installed
// by it.
//
// A server's programs come from Debian packages. They are unpacked, with everything that they need
// down to the C library, into a folder of their own, which is called a root here:
//
//	.cache/servers/
//	    pg18/                the root: usr, etc, tmp, ... of a small Debian
//	        srv/<random>/    one running server: data, certificates, logs
//	        var/template/    a data directory, from which each server gets a copy
//	        var/spare/       used data directories, over which the next copies are written
//	    pg15/
//	    mysql9/
//	    mariadb11/
//	    mariadb10/
//	    python/ php/ java/   roots with drivers only
//	    openssh/             a bastion, and what belongs to it
//	    npm-<hash>/          drivers for Node.js, which is the machine's
//	    bin/rdsverify        the program that checks tokens
//
// A server runs with its root as the root directory: by chroot where the test runs as root, and by
// chroot in a user namespace where it does not. Client programs run without that, see Client, and so
// they see the files of the machine.
//
// Servers behave as those on AWS RDS do: the user "app" logs in over TLS with an IAM token as its
// password, whose signature, endpoint, user and age are really checked. See the packages rdstoken and
// rdsverify. The whole token comes to them
//
//	PostgreSQL   through PAM, after AuthenticationCleartextPassword
//	MariaDB      through PAM, after a switch to mysql_clear_password (or to dialog)
//	MySQL        through an authentication plugin, after a switch to mysql_clear_password
//
// Programs that use drivers for MySQL can be run too, in Python, PHP, Java and JavaScript.
//
// Two environment variables change where things come from and go to:
//
//	DBVALET_DEBIAN_MIRROR   the Debian archive, if not the one in the machine's apt sources
//	DBVALET_TEST_CACHE      the folder for all of the above, if not .cache/servers in the module
//
// Servers end with the process that started them, however that ends. Folders that a killed process
// left behind are removed when the next server is started.
package servers
