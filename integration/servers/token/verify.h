/*
 * Hands a user's password to a program, which decides by its exit status.
 *
 * The program gets the user in the environment variable PAM_USER and the password on its standard
 * input, all of it. Between fork and exec is nothing but system calls, because database servers have
 * threads.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum verdict { ACCEPTED, REFUSED, BROKEN };

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

static enum verdict verify(char *const args[], const char *user, const char *password, size_t length)
{
	char variable[512];
	char *const environment[] = {variable, NULL};
	int fds[2], status;
	pid_t child;

	if (snprintf(variable, sizeof variable, "PAM_USER=%s", user) >= (int)sizeof variable)
		return REFUSED;
	if (pipe2(fds, O_CLOEXEC) != 0)
		return BROKEN;
	child = fork();
	if (child == 0) {
		if (dup2(fds[0], STDIN_FILENO) < 0)
			_exit(126);
		execve(args[0], args, environment);
		_exit(127);
	}
	close(fds[0]);
	if (child > 0)
		write_all(fds[1], password, length);
	close(fds[1]);
	if (child < 0)
		return BROKEN;

	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return BROKEN;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? ACCEPTED : REFUSED;
}
