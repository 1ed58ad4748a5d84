/* Faults that a process cannot have by itself, put under it by LD_PRELOAD:
 *
 *   FAULTS_DIR        regular files below this canonical path are concerned by FAULTS_CONTROL
 *   FAULTS_CONTROL    a file, there before the start and rewritten in place, that holds one word or nothing:
 *                       full      every write fails with ENOSPC
 *                       grow      what would make a file below a folder `base` longer fails with ENOSPC
 *                       readonly  opening with O_CREAT fails with EROFS
 *                       slow      fsync and fdatasync take two seconds longer
 *                       stuck     reading takes four seconds longer
 *                       ahead N   the wall clock is N seconds ahead, on top of FAULTS_CLOCK_S
 *   FAULTS_CLOCK_S    seconds that the wall clock is ahead; the monotonic clocks stay right
 *   FAULTS_FSYNC_LOG  gets one line with the path after each fsync or fdatasync that succeeded
 *   FAULTS_ORPHAN     when set, the process is killed when the thread that started it ends
 *
 * cc -shared -fPIC -O2 -o faults.so faults.c -ldl
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* The next definition of a function: the C library's own. */
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int control = -1;
static const char *folder;
static long ahead_s;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULTS_CONTROL"), *ahead = getenv("FAULTS_CLOCK_S");
    folder = getenv("FAULTS_DIR");
    /* PostgreSQL writes its titles over its environment. */
    if (folder) folder = strdup(folder);
    if (path) control = REAL(open)(path, O_RDONLY | O_CLOEXEC);
    if (ahead) ahead_s = atol(ahead);
    if (getenv("FAULTS_ORPHAN")) prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* Whether the control file holds this word now. */
static int told(const char *word) {
    char text[16] = "";
    return control >= 0 && pread(control, text, sizeof text - 1, 0) > 0 && !strncmp(text, word, strlen(word));
}

static int below(const char *path) {
    size_t length = folder ? strlen(folder) : 0;
    return length && !strncmp(path, folder, length) && (path[length] == '/' || !path[length]);
}

/* The path behind a descriptor; empty when it has none. */
static void path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = 0;
}

/* Whether a word is told and concerns the file behind a descriptor. */
static int hit(int fd, const char *word) {
    char path[PATH_MAX];
    struct stat about;
    if (!told(word) || fstat(fd, &about) || !S_ISREG(about.st_mode)) return 0;
    path_of(fd, path);
    return below(path);
}

/* Whether a write at some place would make a file of PostgreSQL's data longer. */
static int grows(int fd, off64_t at, size_t size) {
    char path[PATH_MAX];
    struct stat about;
    if (!hit(fd, "grow") || fstat(fd, &about) || at + (off64_t)size <= about.st_size) return 0;
    path_of(fd, path);
    return strstr(path, "/base/") != 0;
}

static size_t size_of(const struct iovec *parts, int count) {
    size_t size = 0;
    while (count-- > 0) size += parts[count].iov_len;
    return size;
}

#define STUCK(fd) if (hit(fd, "stuck")) sleep(4);
#define GROWS(fd, at, size) if (grows(fd, at, size)) { errno = ENOSPC; return -1; }
#define FULL(fd) if (hit(fd, "full")) { errno = ENOSPC; return -1; }

ssize_t read(int fd, void *data, size_t size) { STUCK(fd) return REAL(read)(fd, data, size); }
ssize_t write(int fd, const void *data, size_t size) { FULL(fd) return REAL(write)(fd, data, size); }
ssize_t writev(int fd, const struct iovec *parts, int count) { FULL(fd) return REAL(writev)(fd, parts, count); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { FULL(fd) GROWS(fd, at, size) return REAL(pwrite)(fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { FULL(fd) GROWS(fd, at, size) return REAL(pwrite64)(fd, data, size, at); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) { GROWS(fd, at, size_of(parts, count)) return REAL(pwritev)(fd, parts, count, at); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) { GROWS(fd, at, size_of(parts, count)) return REAL(pwritev64)(fd, parts, count, at); }
int posix_fallocate(int fd, off_t at, off_t size) { return grows(fd, at, size) ? ENOSPC : REAL(posix_fallocate)(fd, at, size); }
int posix_fallocate64(int fd, off64_t at, off64_t size) { return grows(fd, at, size) ? ENOSPC : REAL(posix_fallocate64)(fd, at, size); }

/* A relative path is as good as below: the servers under test are given absolute ones. */
#define OPEN(real, ...) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); } \
    if ((flags & O_CREAT) && (path[0] != '/' || below(path)) && told("readonly")) { errno = EROFS; return -1; } \
    return REAL(real)(__VA_ARGS__, flags, mode);

int open(const char *path, int flags, ...) { OPEN(open, path) }
int open64(const char *path, int flags, ...) { OPEN(open64, path) }
int openat(int at, const char *path, int flags, ...) { OPEN(openat, at, path) }
int openat64(int at, const char *path, int flags, ...) { OPEN(openat64, at, path) }

static void note_sync(int fd) {
    char line[PATH_MAX + 1];
    const char *log = getenv("FAULTS_FSYNC_LOG");
    int out = log ? REAL(open)(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (out < 0) return;
    path_of(fd, line);
    size_t length = strlen(line);
    line[length] = '\n';
    if (REAL(write)(out, line, length + 1) < 0) perror("FAULTS_FSYNC_LOG");
    close(out);
}

#define SYNC(name) \
    int name(int fd) { \
        if (hit(fd, "slow")) sleep(2); \
        int done = REAL(name)(fd), why = errno; \
        if (!done) note_sync(fd); \
        errno = why; \
        return done; \
    }

SYNC(fsync)
SYNC(fdatasync)

/* How far the wall clock is ahead now, in seconds. */
static long ahead(void) {
    char text[16] = "";
    int jumped = control >= 0 && pread(control, text, sizeof text - 1, 0) > 0 && !strncmp(text, "ahead ", 6);
    return ahead_s + (jumped ? atol(text + 6) : 0);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int done = REAL(clock_gettime)(clock, now);
    if (!done && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += ahead();
    return done;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int done = REAL(gettimeofday)(now, zone);
    if (!done) now->tv_sec += ahead();
    return done;
}

time_t time(time_t *now) {
    time_t seconds = REAL(time)(NULL) + ahead();
    if (now) *now = seconds;
    return seconds;
}
