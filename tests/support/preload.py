"""A C library that fakes answers of the kernel, for faults that not every machine can produce."""

import shutil
import subprocess
from pathlib import Path

import pytest


def preloaded(folder: Path, source: str) -> str:
    """Compiles the library; returns the value for LD_PRELOAD. Skips the test without a compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler: apt install gcc libc6-dev")
    (folder / "preloaded.c").write_text(f"#define _GNU_SOURCE\n#include <errno.h>\n{source}")
    library = folder / "preloaded.so"
    command: list[str | Path] = [
        compiler,
        "-shared",
        "-fPIC",
        "-o",
        library,
        folder / "preloaded.c",
    ]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode:
        pytest.skip(f"the C compiler here cannot build a library: {built.stderr.strip()[:200]}")
    return str(library)


NO_SOCKETS = """
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* As on a file system that knows no sockets. */
int bind(int fd, const struct sockaddr *address, socklen_t length) {
    int (*next)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "bind");
    const char *without = getenv("WITHOUT_SOCKETS");
    if (without != NULL && address->sa_family == AF_UNIX) {
        const char *path = ((const struct sockaddr_un *)address)->sun_path;
        if (strncmp(path, without, strlen(without)) == 0) {
            errno = EPERM;
            return -1;
        }
    }
    return next(fd, address, length);
}
"""

NO_LOCKS = """
/* As on a mount of NFS without a lock daemon. */
int flock(int fd, int operation) {
    errno = FAILURE;
    return -1;
}
"""

FOREIGN_HANDLER = """
#include <signal.h>
#include <unistd.h>

/* As in a program that Python is embedded in, which has its own. */
static void heard(int number) { (void)!write(1, "heard\\n", 6); }
__attribute__((constructor)) static void install(void) { signal(SIGINT, heard); }
"""

NO_PORTS = """
#include <arpa/inet.h>
#include <dlfcn.h>
#include <sys/socket.h>

/* As under rules that keep ports for the system. */
int bind(int fd, const struct sockaddr *address, socklen_t length) {
    int (*next)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "bind");
    if (address->sa_family == AF_INET) {
        errno = FAILURE;
        return -1;
    }
    return next(fd, address, length);
}
"""

NO_ROOM = """
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* As on a disk that is full: nothing new is made there. */
static int open_there(const char *name, const char *path, int flags, int mode) {
    int (*next)(const char *, int, ...) = dlsym(RTLD_NEXT, name);
    const char *without = getenv("WITHOUT_ROOM");
    if (without != NULL && flags & O_CREAT && strncmp(path, without, strlen(without)) == 0) {
        errno = ENOSPC;
        return -1;
    }
    return next(path, flags, mode);
}
#define OPEN(NAME)                                  \\
    int NAME(const char *path, int flags, ...) {    \\
        va_list more;                               \\
        va_start(more, flags);                      \\
        int mode = va_arg(more, int);               \\
        va_end(more);                               \\
        return open_there(#NAME, path, flags, mode); \\
    }
OPEN(open)
OPEN(open64)
"""
