// Preloaded into a process, counts its write steps below one folder; at a chosen step it kills the process, or lets that
// step and all later ones fail. A write that is killed leaves half of its bytes.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static char root[4096];
static long chosen, steps;
static int number, without_renameat2;

// error: an errno, or 0 to kill; at: the step, from 1 on; 0: none.
void fault_arm(const char *folder, long at, int error, int no_renameat2) {
    snprintf(root, sizeof root, "%s", folder);
    steps = 0;
    number = error;
    without_renameat2 = no_renameat2;
    chosen = at;
}

long fault_steps(void) { return steps; }

static int below(const char *path) { return root[0] && path && strncmp(path, root, strlen(root)) == 0; }

static int below_handle(int handle) {
    char link[64], path[4096];
    if (!root[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return below(path);
}

// Whether this step is to fail; does not return where it is to kill.
static int step(void) {
    long now = __atomic_add_fetch(&steps, 1, __ATOMIC_SEQ_CST);
    if (!chosen || now < chosen) return 0;
    if (number == 0) kill(getpid(), SIGKILL);
    errno = number;
    return 1;
}

static int due(void) { return chosen && __atomic_load_n(&steps, __ATOMIC_SEQ_CST) + 1 >= chosen; }

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define WRITING (O_CREAT | O_TRUNC)
#define OPEN(name)                                                              \
    int name(const char *path, int flags, ...) {                                \
        va_list rest;                                                           \
        va_start(rest, flags);                                                  \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                                           \
        if ((flags & WRITING) && below(path) && step()) return -1;              \
        return REAL(name)(path, flags, mode);                                   \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                            \
    int name(int folder, const char *path, int flags, ...) {                    \
        va_list rest;                                                           \
        va_start(rest, flags);                                                  \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                                           \
        if ((flags & WRITING) && below(path) && step()) return -1;              \
        return REAL(name)(folder, path, flags, mode);                           \
    }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int handle, const void *data, size_t size) {
    if (!below_handle(handle)) return REAL(write)(handle, data, size);
    if (due() && number == 0 && size > 1) REAL(write)(handle, data, size / 2);
    if (step()) return -1;
    return REAL(write)(handle, data, size);
}

int fsync(int handle) {
    if (below_handle(handle) && step()) return -1;
    return REAL(fsync)(handle);
}

int ftruncate(int handle, off_t size) {
    if (below_handle(handle) && step()) return -1;
    return REAL(ftruncate)(handle, size);
}

int rename(const char *from, const char *to) {
    if (below(to) && step()) return -1;
    return REAL(rename)(from, to);
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    if (below(to) && without_renameat2) return errno = ENOSYS, -1;
    if (below(to) && step()) return -1;
    return REAL(renameat2)(from_folder, from, to_folder, to, flags);
}

int link(const char *from, const char *to) {
    if (below(to) && step()) return -1;
    return REAL(link)(from, to);
}

int mkdir(const char *path, mode_t mode) {
    if (below(path) && step()) return -1;
    return REAL(mkdir)(path, mode);
}

int chmod(const char *path, mode_t mode) {
    if (below(path) && step()) return -1;
    return REAL(chmod)(path, mode);
}

// A full disk can still delete; only a killed process cannot.
int unlink(const char *path) {
    if (below(path) && number == 0) step();
    return REAL(unlink)(path);
}

int unlinkat(int folder, const char *path, int flags) {
    if (below_handle(folder) && number == 0) step();
    return REAL(unlinkat)(folder, path, flags);
}

int rmdir(const char *path) {
    if (below(path) && number == 0) step();
    return REAL(rmdir)(path);
}
