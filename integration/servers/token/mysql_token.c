/*
 * An authentication plugin for MySQL 9 that is to its clients what RDS's plugin of the same name is:
 *
 *     CREATE USER app IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'
 *
 * It asks for the token with mysql_clear_password, and hands it to a program; see verify.h. MySQL's
 * own PAM plugin is not free software.
 *
 * MySQL's header files for plugins are in no package of Debian. What follows is declared as there, as
 * far as it is needed: https://dev.mysql.com/doc/dev/mysql-server/latest/plugin_8h_source.html and
 * https://dev.mysql.com/doc/dev/mysql-server/latest/plugin__auth_8h_source.html
 */
#define _GNU_SOURCE
#include "verify.h"

enum { PLUGIN_INTERFACE = 0x010b, AUTH_INTERFACE = 0x0201, AUTH_PLUGIN = 7, LICENSE_BSD = 2 };
enum { CR_OK = -1, CR_ERROR = 0, PASSWORD_USED_YES = 1 };

struct vio {
	int (*read_packet)(struct vio *, unsigned char **);
	/* And more. */
};

struct auth_info {
	char *user_name;
	unsigned user_name_length;
	const char *auth_string;
	unsigned long auth_string_length;
	char authenticated_as[97];
	char external_user[512];
	int password_used;
	/* And more. */
};

struct auth {
	int interface_version;
	const char *client_auth_plugin;
	int (*authenticate_user)(struct vio *, struct auth_info *);
	int (*generate_authentication_string)(char *, unsigned *, const char *, unsigned);
	int (*validate_authentication_string)(char *, unsigned);
	int (*set_salt)(const char *, unsigned, unsigned char *, unsigned char *);
	unsigned long authentication_flags;
	int (*compare_password_with_hash)(const char *, unsigned long, const char *, unsigned long, int *);
};

struct plugin {
	int type;
	void *info;
	const char *name, *author, *description;
	int license;
	int (*init)(void *), (*check_uninstall)(void *), (*deinit)(void *);
	unsigned version;
	void *status_variables, *system_variables, *reserved;
	unsigned long flags;
};

/* The working directory of a server is its data directory, beside which the verifier is. */
static char *const verifier[] = {"../rdsverify", "../rdsverify.json", NULL};

/* A client sends the password with a NUL after it. */
static int authenticate(struct vio *vio, struct auth_info *info)
{
	unsigned char *packet;
	int length = vio->read_packet(vio, &packet);

	if (length < 1 || packet[length - 1] != 0)
		return CR_ERROR;
	info->password_used = PASSWORD_USED_YES;
	return verify(verifier, info->user_name, (char *)packet, length - 1) == ACCEPTED ? CR_OK : CR_ERROR;
}

/* Users have no password of their own: only "AS 'RDS'" can be said of them, not "BY 'password'". */
static int generate(char *out, unsigned *out_length, const char *in, unsigned in_length)
{
	(void)out, (void)in;
	*out_length = 0;
	return in_length > 0;
}

static int validate(char *string, unsigned length)
{
	return length != 3 || memcmp(string, "RDS", 3) != 0;
}

static int set_salt(const char *string, unsigned length, unsigned char *salt, unsigned char *salt_length)
{
	(void)string, (void)length, (void)salt;
	*salt_length = 0;
	return 0;
}

static struct auth descriptor = {
	AUTH_INTERFACE, "mysql_clear_password", authenticate, generate, validate, set_salt, 0, NULL,
};

int _mysql_plugin_interface_version_ = PLUGIN_INTERFACE;
int _mysql_sizeof_struct_st_plugin_ = sizeof(struct plugin);
struct plugin _mysql_plugin_declarations_[] = {
	{
		.type = AUTH_PLUGIN,
		.info = &descriptor,
		.name = "AWSAuthenticationPlugin",
		.author = "dbvalet",
		.description = "RDS tokens, checked by a program",
		.license = LICENSE_BSD,
		.version = 0x0100,
	},
	{0},
};
