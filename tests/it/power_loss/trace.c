/* Records what a process does to the files of one file system, in the order in which it does it.
 *
 * Preloaded into the command under test (LD_PRELOAD). POWER_ROOT names a directory on the file system that is watched,
 * POWER_LOG the file that the records are appended to. A lock is held around every call and its record, so the records
 * are in one true order whatever the threads do.
 *
 *   record   op u8 | a u64 | b u64 | size u32, bytes | size u32, bytes       little-endian
 *   C D      created a file, a directory:  a directory's inode, b new inode, name
 *   T A      cut or extended to a size, allocated up to a size:  a inode, b size
 *   W        wrote:  a inode, b offset, data
 *   R        renamed:  a, b directories' inodes, both names
 *   L        linked:  a inode, b directory's inode, name
 *   U        removed a name:  a directory's inode, name
 *   F        synced a file or a directory:  a inode
 *   X        did something that is not recorded:  what it was
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1;
static dev_t device;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("POWER_LOG"), *root = getenv("POWER_ROOT");
    struct stat st;
    if (!path || !root || stat(root, &st) != 0) return;
    device = st.st_dev;
    log_fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void put(const void *bytes, size_t size) {
    const char *from = bytes;
    while (size > 0) {
        long done = syscall(SYS_write, log_fd, from, size);
        if (done <= 0) abort();
        from += done;
        size -= (size_t)done;
    }
}

static void record(char op, uint64_t a, uint64_t b, const void *one, uint32_t one_size, const void *two,
                   uint32_t two_size) {
    if (log_fd < 0) return;
    char head[21];
    head[0] = op;
    memcpy(head + 1, &a, 8);
    memcpy(head + 9, &b, 8);
    memcpy(head + 17, &one_size, 4);
    put(head, sizeof head);
    put(one, one_size);
    put(&two_size, 4);
    put(two, two_size);
}

static void record_name(char op, uint64_t a, uint64_t b, const char *name) {
    record(op, a, b, name, (uint32_t)strlen(name), "", 0);
}

/* The inode of an open file or directory that is watched; 0 for anything else. */
static uint64_t watched(int fd) {
    struct stat st;
    if (log_fd < 0 || fd == log_fd || fstat(fd, &st) != 0 || st.st_dev != device) return 0;
    return S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) ? st.st_ino : 0;
}

/* The directory that a path is in: its inode, 0 where it is not watched. `name` gets the last part. */
static uint64_t directory(int at, const char *path, char name[NAME_MAX + 1]) {
    char copy[PATH_MAX];
    struct stat st;
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') size--;
    if (size >= sizeof copy) return 0;
    memcpy(copy, path, size);
    copy[size] = 0;
    char *slash = strrchr(copy, '/');
    const char *last = slash ? slash + 1 : copy;
    if (strlen(last) > NAME_MAX) return 0;
    strcpy(name, last);
    const char *above = slash == copy ? "/" : slash ? (*slash = 0, copy) : ".";
    if (fstatat(at, above, &st, 0) != 0 || st.st_dev != device) return 0;
    return st.st_ino;
}

static uint64_t inode_at(int at, const char *path) {
    struct stat st;
    return fstatat(at, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == device ? st.st_ino : 0;
}

/* Runs a call and, where it succeeded, its record, alone among all threads. */
#define ALONE(type, call, failed, succeeded)                                                                           \
    pthread_mutex_lock(&lock);                                                                                         \
    type result = (call);                                                                                              \
    int kept = errno;                                                                                                  \
    if (log_fd >= 0 && result != (failed)) { succeeded; }                                                              \
    errno = kept;                                                                                                      \
    pthread_mutex_unlock(&lock);                                                                                       \
    return result

static int opened(int at, const char *path, int flags, mode_t mode) {
    char name[NAME_MAX + 1];
    struct stat st;
    pthread_mutex_lock(&lock);
    int existed = fstatat(at, path, &st, 0) == 0;
    int fd = (int)REAL(openat)(at, path, flags, mode);
    int kept = errno;
    uint64_t inode = fd >= 0 ? watched(fd) : 0;
    if (inode && (flags & O_TMPFILE) != O_TMPFILE) {
        uint64_t above = directory(at, path, name);
        if ((flags & O_CREAT) && !existed) record_name('C', above, inode, name);
        else if ((flags & O_TRUNC) && existed && st.st_size > 0) record('T', inode, 0, "", 0, "", 0);
    }
    errno = kept;
    pthread_mutex_unlock(&lock);
    return fd;
}

#define MODE(flags)                                                                                                    \
    mode_t mode = 0;                                                                                                   \
    if (((flags) & O_CREAT) || ((flags) & O_TMPFILE) == O_TMPFILE) {                                                   \
        va_list more;                                                                                                  \
        va_start(more, flags);                                                                                         \
        mode = va_arg(more, mode_t);                                                                                   \
        va_end(more);                                                                                                  \
    }

int open(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags, mode); }
int __open_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }
int __openat_2(int at, const char *path, int flags) { return opened(at, path, flags, 0); }
int __openat64_2(int at, const char *path, int flags) { return opened(at, path, flags, 0); }
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

static void wrote(int fd, const void *data, ssize_t size, off_t offset) {
    uint64_t inode = size > 0 ? watched(fd) : 0;
    if (inode) record('W', inode, (uint64_t)offset, data, (uint32_t)size, "", 0);
}

/* Where the last write to `fd` began, which ended at its position. */
static off_t before(int fd, ssize_t size) { return lseek(fd, 0, SEEK_CUR) - size; }

ssize_t write(int fd, const void *data, size_t size) {
    ALONE(ssize_t, REAL(write)(fd, data, size), -1, if (watched(fd)) wrote(fd, data, result, before(fd, result)));
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    ALONE(ssize_t, REAL(pwrite)(fd, data, size, offset), -1, wrote(fd, data, result, offset));
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    ALONE(ssize_t, REAL(pwrite64)(fd, data, size, offset), -1, wrote(fd, data, result, offset));
}

static void wrote_all(int fd, const struct iovec *parts, ssize_t size, off_t offset) {
    for (; size > 0; parts++) {
        ssize_t part = (ssize_t)parts->iov_len < size ? (ssize_t)parts->iov_len : size;
        wrote(fd, parts->iov_base, part, offset);
        offset += part;
        size -= part;
    }
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    ALONE(ssize_t, REAL(writev)(fd, parts, count), -1,
          if (watched(fd)) wrote_all(fd, parts, result, before(fd, result)));
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    ALONE(ssize_t, REAL(pwritev)(fd, parts, count, offset), -1, wrote_all(fd, parts, result, offset));
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    ALONE(ssize_t, REAL(pwritev64)(fd, parts, count, offset), -1, wrote_all(fd, parts, result, offset));
}

static void resized(char op, int fd, off_t size) {
    uint64_t inode = watched(fd);
    if (inode) record(op, inode, (uint64_t)size, "", 0, "", 0);
}

int ftruncate(int fd, off_t size) { ALONE(int, REAL(ftruncate)(fd, size), -1, resized('T', fd, size)); }
int ftruncate64(int fd, off64_t size) { ALONE(int, REAL(ftruncate64)(fd, size), -1, resized('T', fd, size)); }

static void allocated(int fd, int mode, off_t end) {
    if (mode == 0) resized('A', fd, end);
    else if (mode != FALLOC_FL_KEEP_SIZE && watched(fd)) record_name('X', 0, 0, "fallocate that makes holes");
}

int fallocate(int fd, int mode, off_t offset, off_t size) {
    ALONE(int, REAL(fallocate)(fd, mode, offset, size), -1, allocated(fd, mode, offset + size));
}
int fallocate64(int fd, int mode, off64_t offset, off64_t size) {
    ALONE(int, REAL(fallocate64)(fd, mode, offset, size), -1, allocated(fd, mode, offset + size));
}
int posix_fallocate(int fd, off_t offset, off_t size) {
    ALONE(int, REAL(posix_fallocate)(fd, offset, size), -1, if (result == 0) allocated(fd, 0, offset + size));
}
int posix_fallocate64(int fd, off64_t offset, off64_t size) {
    ALONE(int, REAL(posix_fallocate64)(fd, offset, size), -1, if (result == 0) allocated(fd, 0, offset + size));
}

static void renamed(int from_at, const char *from, int to_at, const char *to) {
    char one[NAME_MAX + 1], two[NAME_MAX + 1];
    uint64_t a = directory(from_at, from, one), b = directory(to_at, to, two);
    if (a || b) record('R', a, b, one, (uint32_t)strlen(one), two, (uint32_t)strlen(two));
}

int rename(const char *from, const char *to) {
    ALONE(int, REAL(rename)(from, to), -1, renamed(AT_FDCWD, from, AT_FDCWD, to));
}
int renameat(int from_at, const char *from, int to_at, const char *to) {
    ALONE(int, REAL(renameat)(from_at, from, to_at, to), -1, renamed(from_at, from, to_at, to));
}
int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    ALONE(int, REAL(renameat2)(from_at, from, to_at, to, flags), -1,
          if (flags & RENAME_EXCHANGE) record_name('X', 0, 0, "renameat2 that exchanges");
          else renamed(from_at, from, to_at, to));
}

static void named(char op, uint64_t inode, int at, const char *path) {
    char name[NAME_MAX + 1];
    uint64_t above = directory(at, path, name);
    if (!above) return;
    if (op == 'L') record_name(op, inode, above, name);
    else record_name(op, above, inode, name);
}

int link(const char *from, const char *to) {
    ALONE(int, REAL(link)(from, to), -1, named('L', inode_at(AT_FDCWD, to), AT_FDCWD, to));
}
int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
    ALONE(int, REAL(linkat)(from_at, from, to_at, to, flags), -1, named('L', inode_at(to_at, to), to_at, to));
}
int symlink(const char *target, const char *path) {
    ALONE(int, REAL(symlink)(target, path), -1, record_name('X', 0, 0, "symlink"));
}
int symlinkat(const char *target, int at, const char *path) {
    ALONE(int, REAL(symlinkat)(target, at, path), -1, record_name('X', 0, 0, "symlinkat"));
}
int unlink(const char *path) { ALONE(int, REAL(unlink)(path), -1, named('U', 0, AT_FDCWD, path)); }
int unlinkat(int at, const char *path, int flags) {
    ALONE(int, REAL(unlinkat)(at, path, flags), -1, named('U', 0, at, path));
}
int remove(const char *path) { ALONE(int, REAL(remove)(path), -1, named('U', 0, AT_FDCWD, path)); }
int rmdir(const char *path) { ALONE(int, REAL(rmdir)(path), -1, named('U', 0, AT_FDCWD, path)); }
int mkdir(const char *path, mode_t mode) {
    ALONE(int, REAL(mkdir)(path, mode), -1, named('D', inode_at(AT_FDCWD, path), AT_FDCWD, path));
}
int mkdirat(int at, const char *path, mode_t mode) {
    ALONE(int, REAL(mkdirat)(at, path, mode), -1, named('D', inode_at(at, path), at, path));
}

static void synced(int fd) {
    uint64_t inode = watched(fd);
    if (inode) record('F', inode, 0, "", 0, "", 0);
}

int fsync(int fd) { ALONE(int, REAL(fsync)(fd), -1, synced(fd)); }
int fdatasync(int fd) { ALONE(int, REAL(fdatasync)(fd), -1, synced(fd)); }

static void unknown(int fd, const char *what) {
    if (watched(fd)) record_name('X', 0, 0, what);
}

ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t size, unsigned flags) {
    ALONE(ssize_t, REAL(copy_file_range)(in, in_at, out, out_at, size, flags), -1, unknown(out, "copy_file_range"));
}
FILE *fopen(const char *path, const char *mode) {
    ALONE(FILE *, REAL(fopen)(path, mode), NULL, if (!strchr(mode, 'r')) unknown(fileno(result), "fopen to write"));
}
FILE *fopen64(const char *path, const char *mode) {
    ALONE(FILE *, REAL(fopen64)(path, mode), NULL, if (!strchr(mode, 'r')) unknown(fileno(result), "fopen to write"));
}
void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset) {
    int writes = (protection & PROT_WRITE) && (flags & MAP_SHARED) && !(flags & MAP_ANONYMOUS);
    if (!writes) return (void *)syscall(SYS_mmap, at, size, protection, flags, fd, offset);
    ALONE(void *, (void *)syscall(SYS_mmap, at, size, protection, flags, fd, offset), MAP_FAILED,
          unknown(fd, "mmap that writes"));
}
