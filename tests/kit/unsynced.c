/* Nothing waits for the disk: for a server whose machine nobody crashes. PostgreSQL's own switch for it, `fsync = off`, is one that
 * Darkroom refuses.
 *
 * cc -shared -fPIC -o unsynced.so unsynced.c
 */
int fsync(int fd) { return (void)fd, 0; }
int fdatasync(int fd) { return (void)fd, 0; }
int sync_file_range(int fd, long long at, long long size, unsigned flags) { return (void)fd, (void)at, (void)size, (void)flags, 0; }
