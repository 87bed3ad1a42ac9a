/* What native code tries once it has taken a worker over. Each attempt goes just far enough to show
 * that it would work, and says so in one line: name, "refused" or "possible", and the error.
 *
 * cc -shared -fPIC payload.c -o payload.so; then run(report, home, database, other_file).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static int report, agent;
static const char *home, *database, *other;
static char text[4096];

/* These errors say no. Any other means that the kernel went as far as to look. */
static int is_refusal(int error) { return error == EPERM || error == EACCES || error == ENOSYS; }

static void tell(const char *name, long result)
{
    int error = errno, refused = result < 0 && is_refusal(error);
    int size = snprintf(text, sizeof text, "%s\t%s\t%s\n", name, refused ? "refused" : "possible",
                        result < 0 ? strerror(error) : "it worked");
    if (write(report, text, size) != size) _exit(9);
}

#define TRY(name, call) do { errno = 0; tell(name, (long)(call)); } while (0)

static char *at(const char *folder, const char *name)
{
    static char paths[8][1024];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, 1024, "%s/%s", folder, name);
    return path;
}

static char *of_agent(const char *name)
{
    static char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", agent, name);
    return path;
}

static long opened(const char *path, int flags)
{
    int descriptor = open(path, flags | O_CLOEXEC, 0600);
    if (descriptor >= 0) close(descriptor);
    return descriptor;
}

/* The first address that the agent has mapped, or any address where its map is closed to us: the
 * answer is then EFAULT if the kernel would have read it. */
static unsigned long agent_address(void)
{
    unsigned long address = 4096;
    FILE *maps = fopen(of_agent("maps"), "r");
    if (maps) {
        char line[512];
        while (fgets(line, sizeof line, maps))
            if (strstr(line, "[heap]")) sscanf(line, "%lx", &address);
        fclose(maps);
    }
    return address;
}

static long memory_file(int writes)
{
    unsigned long address = agent_address(), word = 0;
    int descriptor = open(of_agent("mem"), (writes ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    long done = descriptor;
    if (descriptor >= 0) done = pread(descriptor, &word, 8, address);
    if (descriptor >= 0 && writes && done == 8) done = pwrite(descriptor, &word, 8, address);
    if (descriptor >= 0) close(descriptor);
    return done;
}

static long vm(long number)
{
    unsigned long word = 0;
    struct iovec here = {&word, 8}, there = {(void *)agent_address(), 8};
    long done = syscall(SYS_process_vm_readv, agent, &here, 1UL, &there, 1UL, 0UL);
    if (number == SYS_process_vm_writev && (done == 8 || is_refusal(errno)))
        done = syscall(SYS_process_vm_writev, agent, &here, 1UL, &there, 1UL, 0UL);
    return done;
}

static long copied_descriptor(void)
{
    int descriptor = syscall(SYS_pidfd_open, agent, 0);
    for (int number = 0; descriptor >= 0 && number < 64; number++)
        if (syscall(SYS_pidfd_getfd, descriptor, number, 0) >= 0) return number;
    return descriptor < 0 ? descriptor : -1;
}

static long agent_descriptor(void)
{
    for (int number = 0; number < 64; number++) {
        char name[16];
        snprintf(name, sizeof name, "fd/%d", number);
        if (opened(of_agent(name), O_RDONLY) >= 0) return number;
        if (errno != ENOENT && is_refusal(errno)) return -1;
    }
    return -1;
}

static long queued(long number)
{
    siginfo_t info = {0};
    info.si_code = SI_QUEUE;
    return number == SYS_rt_sigqueueinfo ? syscall(number, agent, 0, &info)
                                         : syscall(number, agent, agent, 0, &info);
}

/* An input of this process that sends the agent a signal of our choice. */
static long signal_of_a_pipe(int command)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) return -1;
    long done = command == F_SETSIG ? fcntl(ends[0], F_SETSIG, SIGKILL)
                                    : fcntl(ends[0], command, agent);
    close(ends[0]);
    close(ends[1]);
    return done;
}

static long made(const char *path, long result)
{
    int error = errno;
    if (result >= 0) unlink(path), rmdir(path);
    errno = error;
    return result;
}

static long abstract_socket(void)
{
    struct sockaddr_un address = {AF_UNIX, "\0aegis-hostile"};
    int descriptor = socket(AF_UNIX, SOCK_STREAM, 0);
    return descriptor < 0 ? descriptor : connect(descriptor, (void *)&address, sizeof address);
}

/* The standard input may be a socket: it must not carry descriptors or become another. */
static long passed_descriptor(void)
{
    char room[CMSG_SPACE(sizeof(int))] = {0}, byte = 0;
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = room,
                             .msg_controllen = sizeof room};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET, head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    return sendmsg(0, &message, MSG_DONTWAIT);
}

static long child(long pid)
{
    if (pid == 0) _exit(0);
    if (pid > 0) waitpid(pid, 0, __WALL);
    return pid;
}

static long program_in_memory(void)
{
    int descriptor = syscall(SYS_memfd_create, "x", 0);
    if (descriptor < 0) descriptor = 0;
    return syscall(SYS_execveat, descriptor, "", NULL, NULL, AT_EMPTY_PATH);
}

static long limit_of(int pid, int kind, int raises)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    return raises ? syscall(SYS_prlimit64, pid, kind, &limit, NULL)
                  : syscall(SYS_prlimit64, pid, kind, NULL, &limit);
}

static long write_and_execute(int kind)
{
    char *page;
    if (kind == 0) return (long)mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == -1 ? -1 : 0;
    if (kind == 1) {
        int descriptor = open("/etc/ld.so.cache", O_RDONLY | O_CLOEXEC);
        page = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE, descriptor, 0);
        close(descriptor);
        return page == MAP_FAILED ? -1 : 0;
    }
    page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return kind == 2 ? mprotect(page, 4096, PROT_READ | PROT_EXEC)
                     : syscall(SYS_pkey_mprotect, page, 4096UL, PROT_READ | PROT_EXEC, -1);
}

static void memory_and_descriptors(void)
{
    TRY("proc-mem-read", memory_file(0));
    TRY("proc-mem-write", memory_file(1));
    TRY("proc-maps", opened(of_agent("maps"), O_RDONLY));
    TRY("proc-environ", opened(of_agent("environ"), O_RDONLY));
    TRY("process_vm_readv", vm(SYS_process_vm_readv));
    TRY("process_vm_writev", vm(SYS_process_vm_writev));
    TRY("ptrace-seize", ptrace(PTRACE_SEIZE, agent, 0, 0));
    TRY("process_madvise", syscall(SYS_process_madvise, 0, NULL, 0UL, 0, 0));
    TRY("kcmp", syscall(SYS_kcmp, getpid(), agent, 0, 0UL, 0UL));
    TRY("pidfd_open", syscall(SYS_pidfd_open, agent, 0));
    TRY("pidfd_getfd", copied_descriptor());
    TRY("proc-fd", agent_descriptor());
}

static void signals(void)
{
    TRY("kill", kill(agent, 0));
    TRY("kill-all", kill(-1, 0));
    TRY("tgkill", syscall(SYS_tgkill, agent, agent, 0));
    TRY("tkill", syscall(SYS_tkill, agent, 0));
    TRY("rt_sigqueueinfo", queued(SYS_rt_sigqueueinfo));
    TRY("rt_tgsigqueueinfo", queued(SYS_rt_tgsigqueueinfo));
    TRY("pidfd_send_signal", syscall(SYS_pidfd_send_signal, open(of_agent(""), O_RDONLY), 0, NULL, 0));
    TRY("fcntl-owner", signal_of_a_pipe(F_SETOWN));
    TRY("fcntl-signal", signal_of_a_pipe(F_SETSIG));
}

static void files(void)
{
    char *rc = at(home, ".bashrc"), *new = at(home, "new"), *entry;
    entry = at(home, ".config/autostart/evil.desktop");
    TRY("read-ssh", opened(at(home, ".ssh/id_ed25519"), O_RDONLY));
    TRY("list-home", opened(home, O_RDONLY | O_DIRECTORY));
    TRY("read-bashrc", opened(rc, O_RDONLY));
    TRY("write-bashrc", opened(rc, O_WRONLY | O_APPEND));
    TRY("truncate-bashrc", truncate(rc, 3));
    TRY("open-truncating", opened(rc, O_RDONLY | O_TRUNC));
    TRY("write-autostart", made(entry, opened(entry, O_WRONLY | O_CREAT)));
    TRY("unnamed-file", opened(home, O_TMPFILE | O_WRONLY));
    TRY("database-read", opened(database, O_RDONLY));
    TRY("database-write", opened(database, O_RDWR));
    TRY("other-file-read", opened(other, O_RDONLY));
    TRY("passwd-read", opened("/etc/passwd", O_RDONLY));
    TRY("chmod", chmod(rc, 0644));
    TRY("fchmod", fchmod(0, 0600));
    TRY("chown", chown(rc, -1, -1));
    TRY("utimensat", utimensat(AT_FDCWD, rc, NULL, 0));
    TRY("setxattr", setxattr(rc, "user.x", "x", 1, 0));
    TRY("rename", rename(rc, rc));
    TRY("link", made(new, link(rc, new)));
    TRY("symlink", made(new, symlink(rc, new)));
    TRY("mkdir", made(new, mkdir(new, 0700)));
    TRY("mknod", made(new, mknod(new, S_IFIFO | 0600, 0)));
    TRY("unlink", unlink(at(home, ".ssh/known_hosts")));
    TRY("open_by_handle_at", syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, 0));
    TRY("name_to_handle_at", syscall(SYS_name_to_handle_at, AT_FDCWD, rc, NULL, NULL, 0));
    TRY("openat2", syscall(SYS_openat2, AT_FDCWD, rc, NULL, 0UL));
    TRY("inotify", syscall(SYS_inotify_init1, 0));
    TRY("fanotify", syscall(SYS_fanotify_init, 0, 0));
}

static void network(void)
{
    static const struct { const char *name; int family, type; } sockets[] = {
        {"socket-tcp", AF_INET, SOCK_STREAM}, {"socket-udp", AF_INET, SOCK_DGRAM},
        {"socket-tcp6", AF_INET6, SOCK_STREAM}, {"socket-unix", AF_UNIX, SOCK_STREAM},
        {"socket-unix-datagram", AF_UNIX, SOCK_DGRAM}, {"socket-netlink", AF_NETLINK, SOCK_RAW},
        {"socket-packet", AF_PACKET, SOCK_RAW}, {"socket-vsock", AF_VSOCK, SOCK_STREAM},
        {"socket-alg", AF_ALG, SOCK_SEQPACKET}, {"socket-bluetooth", AF_BLUETOOTH, SOCK_RAW},
        {"socket-can", AF_CAN, SOCK_RAW}, {"socket-xdp", 44, SOCK_RAW},
    };
    for (unsigned i = 0; i < sizeof sockets / sizeof *sockets; i++)
        TRY(sockets[i].name, socket(sockets[i].family, sockets[i].type, 0));
    int pair[2];
    struct sockaddr_un address = {AF_UNIX, "\0aegis-hostile"};
    TRY("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    TRY("abstract-socket", abstract_socket());
    TRY("connect-input", connect(0, (void *)&address, sizeof address));
    TRY("bind-input", bind(0, (void *)&address, sizeof address));
    TRY("listen-input", listen(0, 1));
    TRY("accept-input", accept4(0, NULL, NULL, 0));
    TRY("pass-descriptor", passed_descriptor());
    TRY("recvmsg", recv(0, pair, 1, MSG_DONTWAIT));
}

static void programs(void)
{
    char *none[] = {"true", NULL};
    struct clone_args arguments = {.exit_signal = SIGCHLD};
    TRY("fork", child(syscall(
#ifdef SYS_fork
                        SYS_fork
#else
                        SYS_clone, SIGCHLD, 0, 0, 0, 0
#endif
                        )));
#ifdef SYS_vfork
    TRY("vfork", child(syscall(SYS_vfork)));
#endif
    TRY("clone", child(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)));
    TRY("clone-parent", child(syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0)));
    TRY("clone3", child(syscall(SYS_clone3, &arguments, sizeof arguments)));
    TRY("execve", syscall(SYS_execve, "/nonexistent", none, NULL));
    TRY("execveat-memfd", program_in_memory());
    TRY("memfd_create", syscall(SYS_memfd_create, "x", 0));
}

static void namespaces(void)
{
    static const struct { const char *name; unsigned long flag; } kinds[] = {
        {"user", CLONE_NEWUSER}, {"net", CLONE_NEWNET}, {"mount", CLONE_NEWNS},
        {"pid", CLONE_NEWPID}, {"ipc", CLONE_NEWIPC}, {"uts", CLONE_NEWUTS},
        {"cgroup", CLONE_NEWCGROUP}, {"time", 0x80},
    };
    static char name[64];
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        snprintf(name, sizeof name, "clone-new-%s", kinds[i].name);
        TRY(name, child(syscall(SYS_clone, kinds[i].flag | SIGCHLD, 0, 0, 0, 0)));
    }
    TRY("clone-thread-new-net", syscall(SYS_clone, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD
                                                       | CLONE_NEWNET | CLONE_NEWUSER, 0, 0, 0, 0));
    TRY("setns", syscall(SYS_setns, open(of_agent("ns/user"), O_RDONLY), 0));
    TRY("mount", mount("none", home, "tmpfs", 0, NULL));
    TRY("umount", umount2(home, 0));
    TRY("pivot_root", syscall(SYS_pivot_root, "/", "/"));
    TRY("chroot", chroot("/nonexistent"));
    TRY("fsopen", syscall(SYS_fsopen, "tmpfs", 0));
    TRY("open_tree", syscall(SYS_open_tree, AT_FDCWD, home, 0));
    TRY("move_mount", syscall(SYS_move_mount, 0, "", 0, "", 0));
    TRY("mount_setattr", syscall(SYS_mount_setattr, AT_FDCWD, home, 0, NULL, 0UL));
    TRY("unshare-user", unshare(CLONE_NEWUSER));
    TRY("unshare-net", unshare(CLONE_NEWNET));
}

static void kernel(void)
{
    TRY("keyctl", syscall(SYS_keyctl, 0, -3, 0));
    TRY("add_key", syscall(SYS_add_key, "user", "x", "x", 1UL, -1));
    TRY("request_key", syscall(SYS_request_key, "user", "x", NULL, -1));
    TRY("bpf", syscall(SYS_bpf, 0, NULL, 0));
    TRY("io_uring_setup", syscall(SYS_io_uring_setup, 1, NULL));
    TRY("io_uring_enter", syscall(SYS_io_uring_enter, 0, 0, 0, 0, NULL));
    TRY("perf_event_open", syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0UL));
    TRY("userfaultfd", syscall(SYS_userfaultfd, O_CLOEXEC | 1));
    TRY("shmget", shmget(IPC_PRIVATE, 0, 0));
    TRY("shmat", (long)shmat(0, NULL, SHM_RDONLY));
    TRY("msgget", syscall(SYS_msgget, 1, 0));
    TRY("semget", syscall(SYS_semget, 1, 0, 0));
    TRY("mq_open", syscall(SYS_mq_open, "x", O_RDONLY, 0, NULL));
    TRY("personality", syscall(SYS_personality, 0xffffffffUL));
    TRY("finit_module", syscall(SYS_finit_module, 0, "", 0));
    TRY("kexec_load", syscall(SYS_kexec_load, 0UL, 0UL, NULL, 0UL));
    TRY("reboot", syscall(SYS_reboot, 0, 0, 0, NULL));
    TRY("syslog", syscall(SYS_syslog, 10, NULL, 0));
    TRY("quotactl", syscall(SYS_quotactl, 0, NULL, 0, NULL));
    TRY("move_pages", syscall(SYS_move_pages, agent, 0UL, NULL, NULL, NULL, 0));
    TRY("seccomp", syscall(SYS_seccomp, 1, 0, NULL));
    TRY("landlock", syscall(444, NULL, 0UL, 1));
#ifdef SYS_modify_ldt
    TRY("modify_ldt", syscall(SYS_modify_ldt, 0, NULL, 0UL));
    TRY("iopl", syscall(SYS_iopl, 3));
#endif
    TRY("tty-input", ioctl(0, TIOCSTI, "x"));
    TRY("tty-console", ioctl(2, 0x541C /* TIOCLINUX */, "\2"));
    TRY("tty-control", ioctl(2, TIOCSCTTY, 0));
    TRY("device-ioctl", ioctl(1, 0x1234, 0));
}

static void own_rules(void)
{
    struct rlimit more = {RLIM_INFINITY, RLIM_INFINITY};
    char set[128] = {1};
    struct sched_param usual = {0};
    TRY("outlive-agent", prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0));
    TRY("dumpable", prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
    TRY("ptracer", prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0));
    TRY("memory-map", prctl(PR_SET_MM, PR_SET_MM_BRK, 0, 0, 0));
    TRY("new-privileges", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    TRY("setrlimit", setrlimit(RLIMIT_AS, &more));
    TRY("own-limit", limit_of(0, RLIMIT_FSIZE, 1));
    TRY("setsid", setsid());
    TRY("setpgid", setpgid(0, 0));
    TRY("own-priority", setpriority(PRIO_PROCESS, 0, 19));
    TRY("own-scheduler", sched_setscheduler(0, SCHED_OTHER, &usual));
    TRY("own-io-priority", syscall(SYS_ioprio_set, 1, 0, 3 << 13));
    TRY("agent-limits", limit_of(agent, RLIMIT_NOFILE, 0));
    TRY("agent-affinity", syscall(SYS_sched_setaffinity, agent, sizeof set, set));
    TRY("agent-priority", setpriority(PRIO_PROCESS, agent, getpriority(PRIO_PROCESS, agent)));
    TRY("agent-io-priority", syscall(SYS_ioprio_set, 1, agent, 3 << 13));
    TRY("agent-scheduler", sched_setscheduler(agent, SCHED_OTHER, &usual));
    TRY("writable-code", write_and_execute(0));
    TRY("writable-code-of-a-file", write_and_execute(1));
    TRY("written-code", write_and_execute(2));
    TRY("written-code-pkey", write_and_execute(3));
#ifdef __x86_64__
    TRY("x32-call", syscall(0x40000000 + SYS_getpid));
    TRY("x32-socket", syscall(0x40000000 + SYS_socket, AF_INET, SOCK_STREAM, 0));
#endif
    TRY("unknown-call", syscall(100000));
}

void run(int where, const char *in_home, const char *in_database, const char *in_other)
{
    report = where, home = in_home, database = in_database, other = in_other, agent = getppid();
    memory_and_descriptors();
    signals();
    files();
    network();
    programs();
    kernel();
    own_rules();
    namespaces();
}

/* A call through the interface for 32-bit programs: its numbers mean other things. */
void other_architecture(int where)
{
    report = where;
#ifdef __x86_64__
    long result = 20; /* getpid */
    __asm__ volatile("int $0x80" : "+a"(result) : : "memory");
    tell("i386-call", result);
#endif
}
