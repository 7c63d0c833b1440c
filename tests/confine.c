/* SPDX-License-Identifier: MIT */
/* confine all|files: confines itself and tries what then must not, and must,
 * be possible. Status 77: nothing is confined here. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confine.h"
#include "util.h"

const char ml_prog[] = "confine";

static int failed;

static void must(int ok, const char *what)
{
	printf("%s %s\n", ok ? "ok" : "not ok", what);
	failed |= !ok;
}

static void denied(int r, const char *what)
{
	must(r < 0 && errno == EPERM, what);
}

static void *thread(void *arg)
{
	int *r = arg;

	*r = open("/etc/passwd", O_RDONLY);
	*r = *r < 0 ? -errno : 0;
	return NULL;
}

/* The state of seccomp(2) of this process: 2 is a filter. */
static int filtered(void)
{
	char line[200];
	FILE *f = fopen("/proc/self/status", "re");
	int n = 0;

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, "Seccomp:", 8) == 0)
			n = atoi(line + 8);
	if (f)
		fclose(f);
	return n == 2;
}

int main(int argc, char **argv)
{
	const int all = argc > 1 && strcmp(argv[1], "all") == 0;
	char name[] = "confine.XXXXXX", *args[] = {name, NULL};
	int fd, r = 1, status;
	pthread_t t;
	pid_t pid;

	if (!confine_built)
		return 77;
	fd = open("/proc/self/status", O_RDONLY);
	must(fd >= 0, "a file is open");
	confine(all ? CONFINE_ALL : CONFINE_FILES);
	if (!all && !filtered())
		return 77;
	must(read(fd, name, 0) == 0, "what is open is read");
	denied(socket(AF_INET, SOCK_STREAM, 0), "no socket");
	denied(socket(AF_UNIX, SOCK_STREAM, 0), "nor one of this machine");
	denied(execv("/bin/true", args), "no other program");
	denied(kill(getppid(), 0), "no signal to another process");
	pid = fork();
	if (pid == 0)
		_exit(0);
	denied(pid, "no other process");
	if (pid > 0)
		waitpid(pid, &status, 0);
	must(pthread_create(&t, NULL, thread, &r) == 0 &&
		pthread_join(t, NULL) == 0, "threads");
	must(r == (all ? -EPERM : 0), "which are confined as well");
	fd = mkstemp(name);
	must(fd >= 0 && write(fd, "x", 1) == 1 && fsync(fd) == 0,
		"a new file is made");
	fd = open(name, O_RDONLY);
	if (all) {
		denied(fd, "no file is opened to read");
		denied(open(name, O_RDWR | O_CREAT, 0600), "nor to write");
		denied(chmod(name, 0777), "no modes by name");
		denied(symlink("x", "y"), "no links");
		denied(mkdir("d", 0700), "no directories");
	} else {
		must(fd >= 0, "a file is opened");
	}
	must(unlink(name) == 0, "it is removed");
	return failed;
}
