/*
 * A PAM module that hands the user's password to a program; see verify.h.
 *
 *     auth required pam_token.so /path/of/program argument ...
 *
 * pam_exec, which comes with Linux-PAM, cuts the password off after 511 bytes, and a token is longer
 * than that.
 */
#define _GNU_SOURCE
#include "verify.h"

#include <security/pam_ext.h>
#include <security/pam_modules.h>

#define MAX_ARGS 8

int pam_sm_authenticate(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	const char *user, *token;
	char *args[MAX_ARGS + 1] = {0};

	(void)flags;
	if (argc < 1 || argc > MAX_ARGS)
		return PAM_SERVICE_ERR;
	for (int i = 0; i < argc; i++)
		args[i] = (char *)argv[i];
	if (pam_get_user(pamh, &user, NULL) != PAM_SUCCESS ||
	    pam_get_authtok(pamh, PAM_AUTHTOK, &token, NULL) != PAM_SUCCESS)
		return PAM_AUTH_ERR;

	switch (verify(args, user, token, strlen(token))) {
	case ACCEPTED:
		return PAM_SUCCESS;
	case REFUSED:
		return PAM_AUTH_ERR;
	default:
		return PAM_SYSTEM_ERR;
	}
}

int pam_sm_setcred(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	(void)pamh, (void)flags, (void)argc, (void)argv;
	return PAM_SUCCESS;
}
