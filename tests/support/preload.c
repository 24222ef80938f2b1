/* Loaded before libc: clocks that are moved while a process runs, and storage that hangs.
 *
 * PRELOAD_STATE names a file of three 64-bit integers: by how many ms the wall clock, and every other clock, is moved;
 * and whether writing and syncing hang. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *state;

__attribute__((constructor)) static void attach(void)
{
	const char *path = getenv("PRELOAD_STATE");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *at = fd < 0 ? MAP_FAILED : mmap(NULL, 3 * sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);

	if (at != MAP_FAILED)
		state = at;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int failed = syscall(SYS_clock_gettime, clock, now);

	if (!failed && state && clock != CLOCK_THREAD_CPUTIME_ID && clock != CLOCK_PROCESS_CPUTIME_ID) {
		int64_t ms = state[clock == CLOCK_REALTIME ? 0 : 1] + now->tv_nsec / 1000000;

		now->tv_sec += ms / 1000;
		now->tv_nsec = ms % 1000 * 1000000 + now->tv_nsec % 1000000;
	}
	return failed;
}

static void wait_for_storage(void)
{
	while (state && state[2])
		usleep(10000);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off_t offset)
{
	wait_for_storage();
	return syscall(SYS_pwrite64, fd, bytes, size, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
	return pwrite64(fd, bytes, size, offset);
}

int fsync(int fd)
{
	wait_for_storage();
	return syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	wait_for_storage();
	return syscall(SYS_fdatasync, fd);
}
