/* Loaded into a process, it makes the folder $SHIM_FOLDER look as if it were on a file system
   without range locks, without whole-file locks or without shared maps ($SHIM_LACKS). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

static int lacks(const char *what, int descriptor) {
    const char *folder = getenv("SHIM_FOLDER"), *wanted = getenv("SHIM_LACKS");
    char link[64], path[4096];
    ssize_t length;
    if (!folder || !wanted || strcmp(what, wanted) || descriptor < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return !strncmp(path, folder, strlen(folder));
}

static int is_lock(int command) {
    return command == F_SETLK || command == F_SETLKW || command == F_GETLK;
}

#define FCNTL(name)                                                                   \
    int name(int descriptor, int command, ...) {                                      \
        static int (*next)(int, int, ...);                                            \
        va_list rest;                                                                 \
        void *argument;                                                               \
        va_start(rest, command);                                                      \
        argument = va_arg(rest, void *);                                              \
        va_end(rest);                                                                 \
        if (!next) next = (int (*)(int, int, ...))dlsym(RTLD_NEXT, #name);            \
        if (is_lock(command) && lacks("range locks", descriptor)) {                   \
            errno = ENOLCK;                                                           \
            return -1;                                                                \
        }                                                                             \
        return next(descriptor, command, argument);                                   \
    }
FCNTL(fcntl)
FCNTL(fcntl64)

int flock(int descriptor, int operation) {
    static int (*next)(int, int);
    if (!next) next = (int (*)(int, int))dlsym(RTLD_NEXT, "flock");
    if (lacks("file locks", descriptor)) {
        errno = ENOLCK;
        return -1;
    }
    return next(descriptor, operation);
}

#define MMAP(name)                                                                    \
    void *name(void *where, size_t size, int access, int flags, int descriptor, off_t offset) { \
        static void *(*next)(void *, size_t, int, int, int, off_t);                   \
        if (!next) next = (void *(*)(void *, size_t, int, int, int, off_t))dlsym(RTLD_NEXT, #name); \
        if ((flags & MAP_SHARED) && lacks("shared maps", descriptor)) {               \
            errno = ENODEV;                                                           \
            return MAP_FAILED;                                                        \
        }                                                                             \
        return next(where, size, access, flags, descriptor, offset);                  \
    }
MMAP(mmap)
MMAP(mmap64)
