/* SPDX-License-Identifier: MIT */
/* maxrss FILE COMMAND...: runs the command, then writes its wall-clock
 * seconds and its peak resident memory in KiB to FILE. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct timespec t0, t1;
	struct rusage use;
	int status;
	pid_t pid;
	FILE *f;

	if (argc < 3) {
		fputs("usage: maxrss FILE COMMAND...\n", stderr);
		return 2;
	}
	clock_gettime(CLOCK_MONOTONIC, &t0);
	pid = fork();
	if (pid == 0) {
		execvp(argv[2], argv + 2);
		perror(argv[2]);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		perror("maxrss");
		return 3;
	}
	clock_gettime(CLOCK_MONOTONIC, &t1);
	getrusage(RUSAGE_CHILDREN, &use);
	f = fopen(argv[1], "w");
	if (f == NULL || fprintf(f, "%.3f %ld\n",
		(double)(t1.tv_sec - t0.tv_sec) +
		(double)(t1.tv_nsec - t0.tv_nsec) / 1e9, use.ru_maxrss) < 0 ||
		fclose(f) != 0) {
		perror(argv[1]);
		return 3;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}
