/*
 * A PAM module that hands the user's password to a program, which decides by its exit status.
 *
 *     auth required pam_token.so /path/of/program argument ...
 *
 * The program gets the user in the environment variable PAM_USER and the password on its standard
 * input, all of it: pam_exec, which comes with Linux-PAM, cuts it off after 511 bytes, and a token
 * is longer than that.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <security/pam_ext.h>
#include <security/pam_modules.h>

#define MAX_ARGS 8

static void write_all(int fd, const char *p, size_t left)
{
	while (left > 0) {
		ssize_t n = write(fd, p, left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* The program has decided without reading everything. */
		p += n;
		left -= n;
	}
}

int pam_sm_authenticate(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	const char *user, *token;
	char *args[MAX_ARGS + 1] = {0};
	int fds[2], status;
	pid_t child;

	(void)flags;
	if (argc < 1 || argc > MAX_ARGS)
		return PAM_SERVICE_ERR;
	for (int i = 0; i < argc; i++)
		args[i] = (char *)argv[i];
	if (pam_get_user(pamh, &user, NULL) != PAM_SUCCESS ||
	    pam_get_authtok(pamh, PAM_AUTHTOK, &token, NULL) != PAM_SUCCESS)
		return PAM_AUTH_ERR;

	if (pipe2(fds, O_CLOEXEC) != 0)
		return PAM_SYSTEM_ERR;
	child = fork();
	if (child == 0) {
		if (dup2(fds[0], STDIN_FILENO) < 0 || setenv("PAM_USER", user, 1) != 0)
			_exit(126);
		execv(args[0], args);
		_exit(127);
	}
	close(fds[0]);
	if (child > 0)
		write_all(fds[1], token, strlen(token));
	close(fds[1]);
	if (child < 0)
		return PAM_SYSTEM_ERR;

	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return PAM_SYSTEM_ERR;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? PAM_SUCCESS : PAM_AUTH_ERR;
}

int pam_sm_setcred(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	(void)pamh, (void)flags, (void)argc, (void)argv;
	return PAM_SUCCESS;
}
