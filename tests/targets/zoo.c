// One small state of a process per argument: set up, waited with, and looked for.
//
//   zoo DIR CASE        zoo DIR list: the names
#include "jcrtest.h"
#include <dirent.h>
#include <grp.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>

#define PAGE WHOLE_PAGE
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW (PROT_READ | PROT_WRITE)

static void sync_(void) { ready(), wait_for_check(); }
static char *map(size_t size, int prot, int flags, int fd) {
  char *at = mmap(NULL, size, prot, flags, fd, 0);
  CHECK(at != MAP_FAILED, "set-up: mmap: %s", strerror(errno));
  return at;
}
static int file_with(const char *name, size_t size, uint64_t seed) {
  int fd = MUST(open(in_dir(name), O_RDWR | O_CREAT | O_TRUNC, 0666));
  char *data = malloc(size);
  fill(data, size, seed);
  CHECK(write(fd, data, size) == (ssize_t)size, "set-up");
  free(data);
  return fd;
}
static sigjmp_buf back;
static void on_fault(int signal) { siglongjmp(back, signal); }
static int faults(volatile char *at, int write) {
  struct sigaction act = {.sa_handler = on_fault}, old, oldbus;
  sigaction(SIGSEGV, &act, &old), sigaction(SIGBUS, &act, &oldbus);
  int signal = sigsetjmp(back, 1);
  if (!signal) {
    if (write) *at = *at;
    else (void)*at;
  }
  sigaction(SIGSEGV, &old, NULL), sigaction(SIGBUS, &oldbus, NULL);
  return signal;
}
static int vm_flag(const void *at, const char *flag) {
  FILE *smaps = fopen("/proc/self/smaps", "r");
  char line[512], wanted[8];
  int inside = 0, found = 0;
  snprintf(wanted, sizeof wanted, " %s", flag);
  while (fgets(line, sizeof line, smaps)) {
    unsigned long from, to;
    if (sscanf(line, "%lx-%lx ", &from, &to) == 2) inside = from <= (unsigned long)at && (unsigned long)at < to;
    if (inside && !strncmp(line, "VmFlags:", 8)) found = strstr(line, wanted) != NULL;
  }
  fclose(smaps);
  return found;
}

#define CASES(X)                                                                                     \
  X(mem_none) X(mem_readonly) X(mem_exec) X(mem_shared) X(mem_shared_twice) X(mem_memfd)             \
  X(mem_memfd_private) X(mem_memfd_sealed) X(mem_file_private) X(mem_file_shared) X(mem_beyond_end)  \
  X(mem_growsdown) X(mem_brk) X(mem_advice) X(mem_huge) X(mem_named) X(mem_locked) X(mem_sparse)     \
  X(mem_many) X(mem_zero) X(mem_posix_shm) X(mem_low) X(mem_high) X(mem_free) X(mem_merge)           \
  X(mem_deep_stack)                                                                                  \
  X(file_append) X(file_path_only) X(file_directory) X(file_unlinked_hole) X(file_shared_offset)     \
  X(file_cloexec) X(file_high_number) X(file_devices) X(file_flock) X(file_record_locks)             \
  X(file_owner) X(file_tmpfile) X(file_at_directory) X(file_symlink) X(file_relative)                \
  X(file_proc_self)                                                                                  \
  X(pipe_packets) X(pipe_full) X(pipe_sized) X(pipe_no_writer) X(pipe_no_reader) X(pipe_one_fd)      \
  X(event_semaphore) X(event_full) X(timer_realtime) X(timer_boottime) X(timer_expired)              \
  X(timer_cancel) X(timer_disarmed) X(signalfd_pending) X(epoll_nested) X(epoll_spent) X(epoll_edge)                \
  X(epoll_closed_number)                                                                             \
  X(sig_queue) X(sig_mask) X(sig_stack) X(sig_flags) X(sig_trap) X(sig_ignored) X(sig_thread)        \
  X(itimer_real) X(itimer_virtual) X(timer_posix) X(timer_thread) X(timer_none) X(alarm_pending)     \
  X(id_umask) X(id_cwd) X(id_nice) X(id_batch) X(id_idle) X(id_fifo) X(id_rr) X(id_affinity)         \
  X(id_ioprio) X(id_limits) X(id_personality) X(id_name) X(id_dumpable) X(id_death_signal)           \
  X(id_slack) X(id_login) X(id_autogroup) X(id_subreaper) X(id_securebits) X(id_no_new_privs) X(id_oom) X(id_coredump)           \
  X(id_thp) X(id_mdwe) X(id_groups) X(id_user) X(id_capabilities) X(id_session) X(id_io_flusher)     \
  X(thread_hundred) X(thread_masks) X(thread_names) X(thread_mutex) X(thread_robust) X(thread_cond)  \
  X(thread_barrier) X(thread_local) X(thread_nice) X(thread_exited)                                  \
  X(unix_listener) X(unix_datagram) X(unix_abstract) X(unix_packets) X(unix_passcred)                \
  X(unix_unlinked) X(unix_peer_gone) X(unix_half) X(wait_poll) X(wait_read) X(wait_lock)             \
  X(wait_pause) X(wait_sigwait) X(wait_epoll)

// ---- memory

static void mem_none(void) {
  char *at = map(4 * PAGE, RW, ANON, -1);
  fill(at, 4 * PAGE, 1);
  MUST(mprotect(at, 4 * PAGE, PROT_NONE));
  sync_();
  CHECK(faults(at, 0), "readable");
  MUST(mprotect(at, 4 * PAGE, PROT_READ));
  CHECK(differs(at, 4 * PAGE, 1) < 0, "content");
}
static void mem_readonly(void) {
  char *at = map(4 * PAGE, RW, ANON, -1);
  fill(at, 4 * PAGE, 2);
  MUST(mprotect(at, 4 * PAGE, PROT_READ));
  sync_();
  CHECK(differs(at, 4 * PAGE, 2) < 0 && faults(at, 1), "content or protection");
}
static void mem_exec(void) {
#if defined(__x86_64__)
  static const unsigned char code[] = {0xb8, 0x39, 5, 0, 0, 0xc3};  // mov eax, 1337; ret
#else
  static const uint32_t code[] = {0x5280a720, 0xd65f03c0};  // mov w0, #1337; ret
#endif
  char *at = map(PAGE, RW, ANON, -1);
  memcpy(at, code, sizeof code);
  MUST(mprotect(at, PAGE, PROT_READ | PROT_EXEC));
  __builtin___clear_cache(at, at + PAGE);
  sync_();
  CHECK(((int (*)(void))at)() == 1337, "made code does not run");
}
static void mem_shared(void) {
  char *at = map(64 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1);
  fill(at + 8 * PAGE, PAGE, 3), fill(at + 63 * PAGE, PAGE, 4);
  sync_();
  CHECK(differs(at + 8 * PAGE, PAGE, 3) < 0 && differs(at + 63 * PAGE, PAGE, 4) < 0 && !at[0], "content");
}
static void mem_shared_twice(void) {
  char *at = map(4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1);
  char *other = mremap(at, 0, 4 * PAGE, MREMAP_MAYMOVE);
  CHECK(other != MAP_FAILED, "set-up");
  fill(at, 4 * PAGE, 5);
  sync_();
  CHECK(differs(other, 4 * PAGE, 5) < 0, "content");
  at[100] = 42;
  CHECK(other[100] == 42, "no longer the same memory");
}
static void mem_memfd(void) {
  int fd = MUST(memfd_create("zoo", MFD_CLOEXEC));
  MUST(ftruncate(fd, 8 * PAGE));
  char *at = map(8 * PAGE, RW, MAP_SHARED, fd);
  fill(at + PAGE, PAGE, 6);
  sync_();
  char data[PAGE];
  CHECK(pread(fd, data, PAGE, PAGE) == PAGE && differs(data, PAGE, 6) < 0, "content");
  at[3 * PAGE] = 7;
  CHECK(pread(fd, data, 1, 3 * PAGE) == 1 && data[0] == 7, "not mapped to the file");
}
static void mem_memfd_private(void) {
  int fd = MUST(memfd_create("zoo", 0));
  MUST(ftruncate(fd, 4 * PAGE));
  char *at = map(4 * PAGE, RW, MAP_SHARED, fd), *own = map(4 * PAGE, RW, MAP_PRIVATE, fd);
  fill(at, 4 * PAGE, 7), fill(own + PAGE, PAGE, 8);
  close(fd);
  sync_();
  CHECK(differs(own + PAGE, PAGE, 8) < 0, "own page");
  fill(at + 3 * PAGE, PAGE, 9);
  CHECK(differs(own + 3 * PAGE, PAGE, 9) < 0, "page of the file");
}
static void mem_memfd_sealed(void) {
  int fd = MUST(memfd_create("zoo", MFD_ALLOW_SEALING)), seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  char data[PAGE];
  fill(data, PAGE, 9);
  CHECK(write(fd, data, PAGE) == PAGE, "set-up");
  MUST(fcntl(fd, F_ADD_SEALS, seals));
  sync_();
  CHECK(fcntl(fd, F_GET_SEALS) == seals && write(fd, data, 1) == -1 && ftruncate(fd, 1) == -1, "seals");
  CHECK(pread(fd, data, PAGE, 0) == PAGE && differs(data, PAGE, 9) < 0, "content");
}
static void mem_file_private(void) {
  int fd = file_with("data", 4 * PAGE, 10);
  char *at = map(4 * PAGE, RW, MAP_PRIVATE, fd);
  fill(at + PAGE, PAGE, 11);
  close(fd);
  sync_();
  CHECK(differs(at + PAGE, PAGE, 11) < 0, "changed page");
  char wanted[4 * PAGE];
  fill(wanted, sizeof wanted, 10);
  CHECK(!memcmp(at + 2 * PAGE, wanted + 2 * PAGE, PAGE), "page of the file");
}
static void mem_file_shared(void) {
  int fd = file_with("data", 4 * PAGE, 12);
  char *at = map(4 * PAGE, RW, MAP_SHARED, fd);
  at[5] = 'z';
  sync_();
  at[6] = 'y';
  char two[2];
  CHECK(pread(fd, two, 2, 5) == 2 && two[0] == 'z' && two[1] == 'y', "not the file");
}
static void mem_beyond_end(void) {
  int fd = file_with("data", PAGE + 100, 13);
  char *at = map(4 * PAGE, RW, MAP_SHARED, fd);
  sync_();
  CHECK(!faults(at + PAGE, 0) && faults(at + 2 * PAGE, 0) == SIGBUS, "end of the file");
}
static void mem_growsdown(void) {
  char *place = map(64 * PAGE, PROT_NONE, ANON | MAP_NORESERVE, -1);
  MUST(munmap(place, 64 * PAGE));
  char *at = mmap(place + 62 * PAGE, 2 * PAGE, RW, ANON | MAP_GROWSDOWN | MAP_FIXED_NOREPLACE, -1, 0);
  CHECK(at == place + 62 * PAGE, "set-up");
  fill(at, PAGE, 14);
  sync_();
  CHECK(vm_flag(at, "gd"), "flag");
  CHECK(differs(at, PAGE, 14) < 0, "content");
}
static void mem_brk(void) {
  char *before = sbrk(0), *at = sbrk(10 * PAGE);
  CHECK(at == before, "set-up");
  fill(at, 8 * PAGE, 15);
  sync_();
  CHECK(sbrk(0) == at + 10 * PAGE && differs(at, 8 * PAGE, 15) < 0, "heap");
  CHECK(sbrk(PAGE) == at + 10 * PAGE, "cannot grow");
}
static void mem_advice(void) {
  char *at = map(8 * PAGE, RW, ANON, -1);
  fill(at, 8 * PAGE, 16);
  MUST(madvise(at, PAGE, MADV_DONTFORK)), MUST(madvise(at + PAGE, PAGE, MADV_DONTDUMP));
  MUST(madvise(at + 2 * PAGE, PAGE, MADV_WIPEONFORK)), MUST(madvise(at + 3 * PAGE, PAGE, MADV_RANDOM));
  MUST(madvise(at + 4 * PAGE, PAGE, MADV_SEQUENTIAL));
  sync_();
  CHECK(vm_flag(at, "dc") && vm_flag(at + PAGE, "dd") && vm_flag(at + 2 * PAGE, "wf") && vm_flag(at + 3 * PAGE, "rr") && vm_flag(at + 4 * PAGE, "sr"), "advice");
  CHECK(differs(at, 8 * PAGE, 16) < 0, "content");
}
static void mem_huge(void) {
  char *at = map(8 << 20, RW, ANON, -1);
  if (madvise(at, 4 << 20, MADV_HUGEPAGE)) skip("no huge pages");
  MUST(madvise(at + (6 << 20), 1 << 20, MADV_NOHUGEPAGE));
  fill(at, 8 << 20, 17);
  sync_();
  CHECK(vm_flag(at, "hg") && vm_flag(at + (6 << 20), "nh") && differs(at, 8 << 20, 17) < 0, "huge pages");
}
static void mem_named(void) {
  char *at = map(PAGE, RW, ANON, -1);
  if (prctl(0x53564d41, 0, at, PAGE, "jcr zoo (name)")) skip("no names of mappings");
  at[0] = 1;
  sync_();
  FILE *maps = fopen("/proc/self/maps", "r");
  char line[512];
  int found = 0;
  while (fgets(line, sizeof line, maps)) found |= strstr(line, "[anon:jcr zoo (name)]") != NULL;
  CHECK(found, "name");
}
static void mem_locked(void) {
  char *at = map(8 * PAGE, RW, ANON, -1);
  if (mlock(at, 2 * PAGE) || mlock2(at + 4 * PAGE, 2 * PAGE, 1)) skip("cannot lock memory");
  sync_();
  CHECK(vm_flag(at, "lo") && !vm_flag(at, "lf") && vm_flag(at + 4 * PAGE, "lf") && !vm_flag(at + 2 * PAGE, "lo"), "locks");
}
static void mem_sparse(void) {
  char *at = map(64UL << 30, RW, ANON | MAP_NORESERVE, -1);
  for (long i = 0; i < 64; i++) fill(at + (i << 30) + i * PAGE, PAGE, i);
  sync_();
  for (long i = 0; i < 64; i++) CHECK(differs(at + (i << 30) + i * PAGE, PAGE, i) < 0, "page %ld", i);
  CHECK(!at[12345678901L], "hole");
}
static void mem_many(void) {
  char *at = map(4000 * PAGE, RW, ANON, -1);
  for (int i = 0; i < 4000; i += 2) MUST(mprotect(at + i * PAGE, PAGE, i % 4 ? PROT_READ : PROT_NONE)), at[(i + 1) * PAGE] = (char)i;
  sync_();
  for (int i = 0; i < 4000; i += 2) CHECK(at[(i + 1) * PAGE] == (char)i, "page %d", i);
  CHECK(faults(at, 0) && !faults(at + 2 * PAGE, 0) && faults(at + 2 * PAGE, 1), "protection");
}
static void mem_zero(void) {
  char *at = map(64 * PAGE, RW, ANON, -1);
  memset(at, 0, 32 * PAGE), at[40 * PAGE] = 1;
  for (int i = 50; i < 60; i++) CHECK(!at[i * PAGE], "set-up");
  sync_();
  for (int i = 0; i < 64 * PAGE; i++) CHECK(at[i] == (i == 40 * PAGE), "byte %d", i);
}
static void mem_posix_shm(void) {
  char name[64];
  snprintf(name, sizeof name, "/dev/shm/jcr-zoo-%d", (int)getpid());
  int fd = MUST(open(name, O_RDWR | O_CREAT | O_EXCL, 0600));
  MUST(ftruncate(fd, 4 * PAGE));
  char *at = map(4 * PAGE, RW, MAP_SHARED, fd);
  fill(at, 4 * PAGE, 20);
  sync_();
  CHECK(differs(at, 4 * PAGE, 20) < 0, "content");
  MUST(unlink(name));
}
static void mem_low(void) {
  char *at = mmap((void *)0x10000, 2 * PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
  if (at != (void *)0x10000) skip("no low addresses");
  fill(at, PAGE, 21);
  sync_();
  CHECK(differs(at, PAGE, 21) < 0, "content");
}
static void mem_high(void) {
  char *wanted = (char *)0x7ffff0000000, *at = mmap(wanted, 2 * PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
  if (at != wanted) skip("the address is taken");
  fill(at, PAGE, 22);
  sync_();
  CHECK(differs(at, PAGE, 22) < 0, "content");
}
static void mem_free(void) {
  char *at = map(16 * PAGE, RW, ANON, -1);
  fill(at, 16 * PAGE, 23);
  MUST(madvise(at, 8 * PAGE, MADV_FREE));
  fill(at + 4 * PAGE, PAGE, 24);
  MUST(madvise(at + 12 * PAGE, PAGE, MADV_DONTNEED));
  sync_();
  CHECK(differs(at + 4 * PAGE, PAGE, 24) < 0 && !at[12 * PAGE], "written after MADV_FREE, or MADV_DONTNEED");
}
static void mem_merge(void) {
  char *at = map(8 * PAGE, RW, ANON, -1);
  if (madvise(at, 8 * PAGE, MADV_MERGEABLE)) skip("no KSM");
  fill(at, 8 * PAGE, 25);
  sync_();
  CHECK(vm_flag(at, "mg") && differs(at, 8 * PAGE, 25) < 0, "mergeable");
}
static __attribute__((noinline)) void deep(int depth) {
  volatile char room[8000];
  fill((char *)room, 8000, depth);
  if (depth) deep(depth - 1);
  else sync_();
  CHECK(differs((char *)room, 8000, depth) < 0, "frame %d", depth);
}
static void mem_deep_stack(void) { deep(300); }

// ---- files

static void file_append(void) {
  int fd = MUST(open(in_dir("log"), O_WRONLY | O_CREAT | O_APPEND, 0666));
  CHECK(write(fd, "one\n", 4) == 4, "set-up");
  sync_();
  CHECK(fcntl(fd, F_GETFL) & O_APPEND && lseek(fd, 0, SEEK_CUR) == 4, "flags or offset");
  CHECK(write(fd, "two\n", 4) == 4 && lseek(fd, 0, SEEK_CUR) == 8, "append");
}
static void file_path_only(void) {
  close(file_with("data", 64, 1));
  int fd = MUST(open(in_dir("data"), O_PATH));
  sync_();
  char byte;
  CHECK(fcntl(fd, F_GETFL) & O_PATH && read(fd, &byte, 1) == -1 && errno == EBADF, "O_PATH");
  struct stat st;
  CHECK(!fstat(fd, &st) && st.st_size == 64, "stat");
}
static void file_directory(void) {
  char path[4096], name[4200];
  snprintf(path, sizeof path, "%s/many", jcr_dir);
  MUST(mkdir(path, 0777));
  for (int i = 0; i < 100; i++) snprintf(name, sizeof name, "%s/%d", path, i), close(MUST(open(name, O_CREAT | O_WRONLY, 0666)));
  int fd = MUST(open(path, O_RDONLY | O_DIRECTORY)), seen[100] = {0}, count = 0;
  char buffer[1024] __attribute__((aligned(8)));
  for (int half = 0; half < 2; half++) {
    long n;
    while ((n = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0) {
      for (long at = 0; at < n;) {
        struct dirent64 *entry = (void *)(buffer + at);
        if (entry->d_name[0] != '.') seen[atoi(entry->d_name)]++, count++;
        at += entry->d_reclen;
      }
      if (!half) break;
    }
    if (!half) sync_();
  }
  for (int i = 0; i < 100; i++) CHECK(seen[i] == 1, "entry %d seen %d times, %d in all", i, seen[i], count);
}
static void file_unlinked_hole(void) {
  int fd = MUST(open(in_dir("gone"), O_RDWR | O_CREAT, 0640));
  char data[PAGE];
  fill(data, PAGE, 30);
  CHECK(pwrite(fd, data, PAGE, 300L << 20) == PAGE, "set-up");
  MUST(ftruncate(fd, 400L << 20));
  MUST(unlink(in_dir("gone")));
  sync_();
  struct stat st;
  MUST(fstat(fd, &st));
  CHECK(st.st_size == 400L << 20 && st.st_nlink == 0 && st.st_blocks < 1000 && (st.st_mode & 07777) == 0640, "size %ld, blocks %ld", (long)st.st_size, (long)st.st_blocks);
  CHECK(pread(fd, data, PAGE, 300L << 20) == PAGE && differs(data, PAGE, 30) < 0, "content");
}
static void file_shared_offset(void) {
  int fd = file_with("data", 4096, 1), other = dup(fd), own = MUST(open(in_dir("data"), O_RDONLY));
  lseek(fd, 100, SEEK_SET), lseek(own, 50, SEEK_SET);
  sync_();
  CHECK(lseek(other, 7, SEEK_CUR) == 107 && lseek(fd, 0, SEEK_CUR) == 107 && lseek(own, 0, SEEK_CUR) == 50, "offsets");
}
static void file_cloexec(void) {
  int fd = file_with("data", 8, 1), with = fcntl(fd, F_DUPFD_CLOEXEC, 10), without = fcntl(fd, F_DUPFD, 20);
  sync_();
  CHECK((fcntl(with, F_GETFD) & FD_CLOEXEC) && !(fcntl(without, F_GETFD) & FD_CLOEXEC), "FD_CLOEXEC");
}
static void file_high_number(void) {
  int fd = file_with("data", 8, 1), high = fcntl(fd, F_DUPFD, 900);
  CHECK(high == 900, "set-up");
  close(fd);
  sync_();
  CHECK(fcntl(900, F_GETFD) == 0 && fcntl(fd, F_GETFD) == -1, "numbers");
}
static void file_devices(void) {
  int null = MUST(open("/dev/null", O_WRONLY)), zero = MUST(open("/dev/zero", O_RDONLY)), full = MUST(open("/dev/full", O_WRONLY)), random = MUST(open("/dev/urandom", O_RDONLY));
  sync_();
  char data[16] = "x";
  CHECK(write(null, data, 16) == 16 && write(full, data, 1) == -1 && errno == ENOSPC, "null or full");
  CHECK(read(zero, data, 16) == 16 && !data[0] && read(random, data, 16) == 16, "zero or urandom");
}
static void file_flock(void) {
  int fd = file_with("data", 8, 1), shared = file_with("other", 8, 1);
  MUST(flock(fd, LOCK_EX)), MUST(flock(shared, LOCK_SH));
  sync_();
  int again = MUST(open(in_dir("data"), O_RDONLY));
  CHECK(flock(again, LOCK_SH | LOCK_NB) == -1 && errno == EWOULDBLOCK, "exclusive");
  again = MUST(open(in_dir("other"), O_RDONLY));
  CHECK(flock(again, LOCK_SH | LOCK_NB) == 0 && flock(again, LOCK_EX | LOCK_NB) == -1, "shared");
}
static void file_record_locks(void) {
  int fd = file_with("data", 4096, 1);
  struct flock a = {.l_type = F_WRLCK, .l_start = 10, .l_len = 20}, b = {.l_type = F_RDLCK, .l_start = 100}, c = {.l_type = F_WRLCK, .l_start = 60, .l_len = 5};
  MUST(fcntl(fd, F_SETLK, &a)), MUST(fcntl(fd, F_SETLK, &b)), MUST(fcntl(fd, F_OFD_SETLK, &c));
  sync_();
  int again = MUST(open(in_dir("data"), O_RDWR));
  struct flock ask = {.l_type = F_WRLCK, .l_start = 60, .l_len = 1};
  MUST(fcntl(again, F_OFD_GETLK, &ask));
  CHECK(ask.l_type == F_WRLCK && ask.l_start == 60 && ask.l_len == 5 && ask.l_pid == -1, "lock of the description");
  ask = (struct flock){.l_type = F_WRLCK, .l_start = 29, .l_len = 1};
  MUST(fcntl(again, F_OFD_GETLK, &ask));
  CHECK(ask.l_type == F_WRLCK && ask.l_start == 10 && ask.l_len == 20 && ask.l_pid == getpid(), "lock of the process");
  ask = (struct flock){.l_type = F_WRLCK, .l_start = 5000, .l_len = 1};
  MUST(fcntl(again, F_OFD_GETLK, &ask));
  CHECK(ask.l_type == F_RDLCK && ask.l_len == 0, "lock to the end");
}
static void file_owner(void) {
  int p[2];
  MUST(pipe(p));
  MUST(fcntl(p[0], F_SETOWN, getpid())), MUST(fcntl(p[0], F_SETSIG, SIGRTMIN + 3)), MUST(fcntl(p[0], F_SETFL, O_ASYNC | O_NONBLOCK));
  sigset_t set;
  sigemptyset(&set), sigaddset(&set, SIGRTMIN + 3), sigprocmask(SIG_BLOCK, &set, NULL);
  sync_();
  CHECK(write(p[1], "x", 1) == 1, "write");
  siginfo_t info;
  struct timespec patience = {5, 0};
  CHECK(sigtimedwait(&set, &info, &patience) == SIGRTMIN + 3 && info.si_fd == p[0], "no signal of the descriptor");
}
static void file_tmpfile(void) {
  int fd = open(jcr_dir, O_TMPFILE | O_RDWR, 0600);
  if (fd < 0) skip("no O_TMPFILE");
  CHECK(write(fd, "text", 4) == 4, "set-up");
  sync_();
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  CHECK(!linkat(AT_FDCWD, path, AT_FDCWD, in_dir("named"), AT_SYMLINK_FOLLOW), "linkat: %s", strerror(errno));
}
static void file_at_directory(void) {
  close(file_with("data", 8, 1));
  int fd = MUST(open(jcr_dir, O_RDONLY | O_DIRECTORY));
  sync_();
  CHECK(openat(fd, "data", O_RDONLY) >= 0, "openat");
}
static void file_symlink(void) {
  MUST(symlink("nowhere", in_dir("link")));
  int fd = MUST(open(in_dir("link"), O_PATH | O_NOFOLLOW));
  sync_();
  char text[32] = {0};
  CHECK(readlinkat(fd, "", text, 31) == 7 && !strcmp(text, "nowhere"), "link");
}
static void file_relative(void) {
  MUST(chdir(jcr_dir));
  int fd = MUST(open("relative", O_RDWR | O_CREAT, 0666));
  CHECK(write(fd, "abc", 3) == 3, "set-up");
  sync_();
  CHECK(write(fd, "d", 1) == 1 && !access("relative", F_OK), "file in the working directory");
}
static void file_proc_self(void) {
  int fd = MUST(open("/proc/self/status", O_RDONLY));
  sync_();
  char text[64];
  CHECK(pread(fd, text, sizeof text, 0) > 10 && !strncmp(text, "Name:", 5), "status");
}

// ---- pipes and event objects

static void pipe_packets(void) {
  int p[2];
  MUST(pipe2(p, O_DIRECT | O_NONBLOCK));
  CHECK(write(p[1], "first", 5) == 5 && write(p[1], "2nd", 3) == 3, "set-up");
  sync_();
  char text[64];
  CHECK(read(p[0], text, 64) == 5 && read(p[0], text, 64) == 3 && read(p[0], text, 64) == -1, "packets");
  CHECK(write(p[1], "a", 1) == 1 && write(p[1], "b", 1) == 1 && read(p[0], text, 64) == 1, "packet mode is lost");
}
static void pipe_full(void) {
  int p[2];
  MUST(pipe2(p, O_NONBLOCK));
  static char data[65536], got[65536];
  fill(data, sizeof data, 31);
  ssize_t n = write(p[1], data, sizeof data);
  CHECK(n == sizeof data && write(p[1], "x", 1) == -1, "set-up");
  sync_();
  CHECK(write(p[1], "x", 1) == -1 && errno == EAGAIN, "not full");
  CHECK(read(p[0], got, sizeof got) == n && !memcmp(data, got, n), "content");
}
static void pipe_sized(void) {
  int p[2];
  MUST(pipe(p));
  int size = fcntl(p[0], F_SETPIPE_SZ, 1 << 18);
  CHECK(write(p[1], "text", 4) == 4, "set-up");
  sync_();
  CHECK(fcntl(p[1], F_GETPIPE_SZ) == size, "size");
}
static void pipe_no_writer(void) {
  int p[2];
  MUST(pipe(p));
  CHECK(write(p[1], "end", 3) == 3, "set-up");
  close(p[1]);
  sync_();
  char text[8];
  CHECK(read(p[0], text, 8) == 3 && read(p[0], text, 8) == 0, "end of file");
}
static void pipe_no_reader(void) {
  signal(SIGPIPE, SIG_IGN);
  int p[2];
  MUST(pipe(p));
  close(p[0]);
  sync_();
  CHECK(write(p[1], "x", 1) == -1 && errno == EPIPE, "EPIPE");
}
static void pipe_one_fd(void) {
  MUST(mkfifo(in_dir("fifo"), 0666));
  int fd = MUST(open(in_dir("fifo"), O_RDWR));
  CHECK(write(fd, "inside", 6) == 6, "set-up");
  sync_();
  char text[8];
  CHECK(read(fd, text, 8) == 6, "content");
}
static void event_semaphore(void) {
  int fd = MUST(eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK));
  sync_();
  uint64_t value;
  for (int i = 0; i < 3; i++) CHECK(read(fd, &value, 8) == 8 && value == 1, "count");
  CHECK(read(fd, &value, 8) == -1, "more");
}
static void event_full(void) {
  int fd = MUST(eventfd(0, EFD_NONBLOCK));
  uint64_t value = 0xfffffffffffffffeUL;
  CHECK(write(fd, &value, 8) == 8, "set-up");
  sync_();
  value = 1;
  CHECK(write(fd, &value, 8) == -1 && errno == EAGAIN && read(fd, &value, 8) == 8 && value == 0xfffffffffffffffeUL, "count");
}
static void timer_of(int clock, int flags) {
  int fd = MUST(timerfd_create(clock, TFD_NONBLOCK));
  struct itimerspec t = {.it_value = {3600, 0}, .it_interval = {0, 500}}, now;
  if (flags & TFD_TIMER_ABSTIME) clock_gettime(clock, &t.it_value), t.it_value.tv_sec += 3600;
  MUST(timerfd_settime(fd, flags, &t, NULL));
  sync_();
  MUST(timerfd_gettime(fd, &now));
  CHECK(now.it_value.tv_sec > 3400 && now.it_value.tv_sec <= 3600 && now.it_interval.tv_nsec == 500, "%ld s left", (long)now.it_value.tv_sec);
}
static void timer_realtime(void) { timer_of(CLOCK_REALTIME, TFD_TIMER_ABSTIME); }
static void timer_boottime(void) { timer_of(CLOCK_BOOTTIME, 0); }
static void timer_cancel(void) { timer_of(CLOCK_REALTIME, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET); }
static void timer_expired(void) {
  int fd = MUST(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
  struct itimerspec t = {.it_value = {0, 1000000}, .it_interval = {0, 1000000}};
  MUST(timerfd_settime(fd, 0, &t, NULL));
  nap(500);
  sync_();
  uint64_t ticks;
  CHECK(read(fd, &ticks, 8) == 8 && ticks >= 499, "%lu ticks", (unsigned long)ticks);
}
static void timer_disarmed(void) {
  int fd = MUST(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
  sync_();
  struct itimerspec now;
  uint64_t ticks;
  MUST(timerfd_gettime(fd, &now));
  CHECK(!now.it_value.tv_sec && !now.it_value.tv_nsec && read(fd, &ticks, 8) == -1, "armed");
}
static void signalfd_pending(void) {
  sigset_t set;
  sigemptyset(&set), sigaddset(&set, SIGUSR1), sigaddset(&set, SIGRTMIN), sigprocmask(SIG_BLOCK, &set, NULL);
  int fd = MUST(signalfd(-1, &set, SFD_NONBLOCK));
  union sigval value = {.sival_int = 77};
  MUST(sigqueue(getpid(), SIGRTMIN, value)), MUST(kill(getpid(), SIGUSR1));
  sync_();
  struct signalfd_siginfo info;
  CHECK(read(fd, &info, sizeof info) == sizeof info && info.ssi_signo == SIGUSR1, "first");
  CHECK(read(fd, &info, sizeof info) == sizeof info && info.ssi_signo == (unsigned)SIGRTMIN && info.ssi_int == 77, "second");
}
static void epoll_nested(void) {
  int outer = MUST(epoll_create1(0)), inner = MUST(epoll_create1(0)), fd = MUST(eventfd(0, 0));
  struct epoll_event event = {EPOLLIN, {.u64 = 0x1234567890}}, got;
  MUST(epoll_ctl(inner, EPOLL_CTL_ADD, fd, &event));
  event.data.u64 = 2;
  MUST(epoll_ctl(outer, EPOLL_CTL_ADD, inner, &event));
  sync_();
  CHECK(epoll_wait(outer, &got, 1, 0) == 0, "an event");
  uint64_t one = 1;
  CHECK(write(fd, &one, 8) == 8 && epoll_wait(outer, &got, 1, 1000) == 1 && got.data.u64 == 2, "outer");
  CHECK(epoll_wait(inner, &got, 1, 0) == 1 && got.data.u64 == 0x1234567890, "inner");
}
// One-shot registrations that have fired: nothing is reported before they are armed again, not even that the peer is gone.
static void epoll_spent(void) {
  int ep = MUST(epoll_create1(0)), p[2], pair[2], fd = MUST(eventfd(1, EFD_NONBLOCK));
  MUST(pipe2(p, O_NONBLOCK)), MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  struct epoll_event got;
  int watched[] = {p[0], pair[0], fd};
  CHECK(write(p[1], "x", 1) == 1 && write(pair[1], "y", 1) == 1, "set-up");
  for (int i = 0; i < 3; i++) {
    struct epoll_event event = {EPOLLIN | EPOLLONESHOT, {.u32 = 70 + i}};
    MUST(epoll_ctl(ep, EPOLL_CTL_ADD, watched[i], &event));
  }
  for (int i = 0; i < 3; i++) CHECK(epoll_wait(ep, &got, 1, 0) == 1, "set-up");
  struct epoll_event armed = {EPOLLIN | EPOLLONESHOT, {.u32 = 80}};
  int other = MUST(eventfd(0, 0));
  MUST(epoll_ctl(ep, EPOLL_CTL_ADD, other, &armed));
  char byte;
  uint64_t value;
  CHECK(read(p[0], &byte, 1) == 1 && read(pair[0], &byte, 1) == 1 && read(fd, &value, 8) == 8, "set-up");
  sync_();
  CHECK(epoll_wait(ep, &got, 1, 0) == 0, "an event of %d", (int)got.data.u32);
  CHECK(read(p[0], &byte, 1) == -1 && errno == EAGAIN && read(fd, &value, 8) == -1, "something was left");
  close(p[1]), close(pair[1]);
  CHECK(epoll_wait(ep, &got, 1, 0) == 0, "a hang-up of %d", (int)got.data.u32);
  value = 1;
  CHECK(write(fd, &value, 8) == 8 && epoll_wait(ep, &got, 1, 0) == 0, "not spent");
  for (int i = 0; i < 3; i++) {
    struct epoll_event event = {EPOLLIN | EPOLLONESHOT, {.u32 = 90 + i}};
    MUST(epoll_ctl(ep, EPOLL_CTL_MOD, watched[i], &event));
    CHECK(epoll_wait(ep, &got, 1, 0) == 1 && got.data.u32 == 90 + (unsigned)i, "armed again");
  }
  CHECK(write(other, &value, 8) == 8 && epoll_wait(ep, &got, 1, 0) == 1 && got.data.u32 == 80, "the one that is armed");
}
static void epoll_edge(void) {
  int ep = MUST(epoll_create1(0)), p[2];
  MUST(pipe(p));
  struct epoll_event event = {EPOLLIN | EPOLLET, {.u32 = 5}}, got;
  MUST(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &event));
  sync_();
  CHECK(epoll_wait(ep, &got, 1, 0) == 0 && write(p[1], "x", 1) == 1 && epoll_wait(ep, &got, 1, 1000) == 1 && got.data.u32 == 5, "edge");
  CHECK(epoll_wait(ep, &got, 1, 0) == 0, "level");
}
static void epoll_closed_number(void) {
  int ep = MUST(epoll_create1(0)), fd = MUST(eventfd(0, 0)), other = dup(fd);
  struct epoll_event event = {EPOLLIN, {.u32 = 9}}, got;
  MUST(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event));
  close(fd);
  sync_();
  uint64_t one = 1;
  CHECK(write(other, &one, 8) == 8 && epoll_wait(ep, &got, 1, 1000) == 1 && got.data.u32 == 9, "watched by a closed number");
}

// ---- signals and timers

static volatile int hits, order[16];
static void on_signal(int number, siginfo_t *info, void *context) {
  (void)number, (void)context;
  if (hits < 16) order[hits] = info->si_value.sival_int;
  hits++;
}
static void sig_queue(void) {
  struct sigaction act = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
  MUST(sigaction(SIGRTMIN + 1, &act, NULL));
  sigset_t set;
  sigemptyset(&set), sigaddset(&set, SIGRTMIN + 1), sigprocmask(SIG_BLOCK, &set, NULL);
  for (int i = 0; i < 10; i++) {
    union sigval value = {.sival_int = i * 3};
    MUST(sigqueue(getpid(), SIGRTMIN + 1, value));
  }
  sync_();
  CHECK(hits == 0, "delivered though blocked");
  sigprocmask(SIG_UNBLOCK, &set, NULL);
  CHECK(hits == 10, "%d signals", hits);
  for (int i = 0; i < 10; i++) CHECK(order[i] == i * 3, "value %d is %d", i, order[i]);
}
static void sig_mask(void) {
  sigset_t set, now;
  sigemptyset(&set), sigaddset(&set, SIGTERM), sigaddset(&set, SIGRTMAX), sigprocmask(SIG_SETMASK, &set, NULL);
  sync_();
  sigprocmask(SIG_BLOCK, NULL, &now);
  for (int i = 1; i < 65; i++) CHECK(sigismember(&now, i) == sigismember(&set, i), "signal %d", i);
}
static char *low_stack;
static volatile int on_it;
static void on_stack(int number) { char here; (void)number, on_it = &here >= low_stack && &here < low_stack + 65536; }
static void sig_stack(void) {
  low_stack = map(65536, RW, ANON, -1);
  stack_t stack = {.ss_sp = low_stack, .ss_size = 65536}, now;
  MUST(sigaltstack(&stack, NULL));
  struct sigaction act = {.sa_handler = on_stack, .sa_flags = SA_ONSTACK};
  MUST(sigaction(SIGUSR2, &act, NULL));
  sync_();
  raise(SIGUSR2);
  MUST(sigaltstack(NULL, &now));
  CHECK(on_it && now.ss_sp == low_stack && now.ss_size == 65536, "signal stack");
}
static void sig_flags(void) {
  struct sigaction act = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART | SA_NODEFER | SA_RESETHAND}, now;
  sigaddset(&act.sa_mask, SIGHUP);
  MUST(sigaction(SIGUSR1, &act, NULL));
  sync_();
  MUST(sigaction(SIGUSR1, NULL, &now));
  CHECK(now.sa_sigaction == on_signal && (now.sa_flags & 0xffff0fff & ~0x04000000) == (act.sa_flags & 0xffff0fff) && sigismember(&now.sa_mask, SIGHUP), "action, flags %x", now.sa_flags);
  raise(SIGUSR1);
  MUST(sigaction(SIGUSR1, NULL, &now));
  CHECK(now.sa_handler == SIG_DFL, "SA_RESETHAND");
}
static void sig_trap(void) {
  signal(SIGTRAP, SIG_IGN);
  sigset_t set;
  sigemptyset(&set), sigaddset(&set, SIGTRAP), sigprocmask(SIG_BLOCK, &set, NULL);
  sync_();
  struct sigaction now;
  MUST(sigaction(SIGTRAP, NULL, &now));
  sigset_t mask;
  sigprocmask(SIG_BLOCK, NULL, &mask);
  CHECK(now.sa_handler == SIG_IGN && sigismember(&mask, SIGTRAP), "SIGTRAP");
}
static void sig_ignored(void) {
  for (int i = 1; i < 65; i++) if (i != SIGKILL && i != SIGSTOP && i != 32 && i != 33) signal(i, SIG_IGN);
  sync_();
  for (int i = 1; i < 65; i++) {
    struct sigaction now;
    if (i != SIGKILL && i != SIGSTOP && i != 32 && i != 33) CHECK(!sigaction(i, NULL, &now) && now.sa_handler == SIG_IGN, "signal %d", i);
  }
}
static void sig_thread(void) {
  sigset_t set, pending;
  sigemptyset(&set), sigaddset(&set, SIGUSR1), sigaddset(&set, SIGUSR2), sigprocmask(SIG_BLOCK, &set, NULL);
  MUST(syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1));
  MUST(kill(getpid(), SIGUSR2));
  sync_();
  sigpending(&pending);
  CHECK(sigismember(&pending, SIGUSR1) && sigismember(&pending, SIGUSR2), "pending");
  siginfo_t info;
  sigset_t one;
  sigemptyset(&one), sigaddset(&one, SIGUSR1);
  CHECK(sigwaitinfo(&one, &info) == SIGUSR1 && (info.si_code == SI_TKILL || info.si_code == SI_USER) && info.si_pid == getpid(), "siginfo");
}
static void itimer(int which, int number) {
  signal(number, SIG_IGN);
  struct itimerval t = {.it_value = {1000, 0}, .it_interval = {7, 8}}, now;
  MUST(setitimer(which, &t, NULL));
  sync_();
  MUST(getitimer(which, &now));
  CHECK(now.it_value.tv_sec > 800 && now.it_value.tv_sec <= 1000 && now.it_interval.tv_sec == 7 && now.it_interval.tv_usec == 8, "%ld s left", (long)now.it_value.tv_sec);
}
static void itimer_real(void) { itimer(ITIMER_REAL, SIGALRM); }
static void itimer_virtual(void) { itimer(ITIMER_VIRTUAL, SIGVTALRM); }
static void posix_timer(int notify, int thread) {
  timer_t ids[3];
  for (int i = 0; i < 3; i++) {
    struct sigevent event = {.sigev_notify = notify, .sigev_signo = SIGRTMIN + i, .sigev_value.sival_int = i};
    if (thread) event._sigev_un._tid = syscall(SYS_gettid);
    MUST(timer_create(i == 1 ? CLOCK_REALTIME : CLOCK_MONOTONIC, &event, &ids[i]));
    struct itimerspec t = {.it_value = {500 + i, 0}, .it_interval = {i, 0}};
    MUST(timer_settime(ids[i], 0, &t, NULL));
  }
  MUST(timer_delete(ids[0]));
  sync_();
  struct itimerspec now;
  CHECK(timer_gettime(ids[0], &now) == -1, "a deleted timer");
  for (int i = 1; i < 3; i++) {
    MUST(timer_gettime(ids[i], &now));
    CHECK(now.it_value.tv_sec > 300 && now.it_value.tv_sec <= 500 + i && now.it_interval.tv_sec == i, "timer %d: %ld s", i, (long)now.it_value.tv_sec);
  }
}
static void timer_posix(void) { posix_timer(SIGEV_SIGNAL, 0); }
static void timer_thread(void) { posix_timer(SIGEV_THREAD_ID, 1); }
static void timer_none(void) { posix_timer(SIGEV_NONE, 0); }
static void alarm_pending(void) {
  alarm(3000);
  sync_();
  unsigned left = alarm(0);
  CHECK(left > 2800 && left <= 3000, "%u s left", left);
}

// ---- identity

static void id_umask(void) {
  umask(0135);
  sync_();
  CHECK(umask(0) == 0135, "umask");
}
static void id_cwd(void) {
  char path[4096], now[4096];
  snprintf(path, sizeof path, "%s/a b", jcr_dir);
  MUST(mkdir(path, 0777)), MUST(chdir(path));
  sync_();
  CHECK(getcwd(now, sizeof now) && !strcmp(now, path), "directory");
}
static void id_nice(void) {
  MUST(setpriority(PRIO_PROCESS, 0, 7));
  sync_();
  CHECK(getpriority(PRIO_PROCESS, 0) == 7, "nice value");
}
static void policy(int wanted, int priority) {
  struct sched_param param = {priority}, now;
  if (sched_setscheduler(0, wanted, &param)) skip("the policy is not allowed");
  sync_();
  sched_getparam(0, &now);
  CHECK(sched_getscheduler(0) == wanted && now.sched_priority == priority, "policy %d, priority %d", sched_getscheduler(0), now.sched_priority);
}
static void id_batch(void) { policy(SCHED_BATCH, 0); }
static void id_idle(void) { policy(SCHED_IDLE, 0); }
static void id_fifo(void) { policy(SCHED_FIFO, 3); }
static void id_rr(void) { policy(SCHED_RR, 5); }
static void id_affinity(void) {
  cpu_set_t set, now;
  CPU_ZERO(&set);
  CPU_SET(0, &set);
  MUST(sched_setaffinity(0, sizeof set, &set));
  sync_();
  MUST(sched_getaffinity(0, sizeof now, &now));
  CHECK(CPU_EQUAL(&set, &now), "affinity");
}
static void id_ioprio(void) {
  MUST(syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 6));
  sync_();
  CHECK(syscall(SYS_ioprio_get, 1, 0) == (2 << 13 | 6), "I/O priority");
}
static void id_limits(void) {
  struct rlimit limit = {100, 200}, core = {0, 0}, now;
  MUST(setrlimit(RLIMIT_NOFILE, &limit)), MUST(setrlimit(RLIMIT_CORE, &core));
  sync_();
  CHECK(!getrlimit(RLIMIT_NOFILE, &now) && now.rlim_cur == 100 && now.rlim_max == 200, "RLIMIT_NOFILE");
  CHECK(!getrlimit(RLIMIT_CORE, &now) && !now.rlim_max, "RLIMIT_CORE");
}
static void id_personality(void) {
  MUST(personality(ADDR_NO_RANDOMIZE | SHORT_INODE));
  sync_();
  CHECK(personality(0xffffffff) == (ADDR_NO_RANDOMIZE | SHORT_INODE), "personality");
}
static void id_name(void) {
  MUST(prctl(PR_SET_NAME, "a (b) \t)"));
  sync_();
  char name[16];
  prctl(PR_GET_NAME, name);
  CHECK(!strcmp(name, "a (b) \t)"), "name");
}
static void id_dumpable(void) {
  MUST(prctl(PR_SET_DUMPABLE, 0));
  sync_();
  CHECK(prctl(PR_GET_DUMPABLE) == 0, "dumpable");
}
static void id_death_signal(void) {
  MUST(prctl(PR_SET_PDEATHSIG, SIGUSR2));
  signal(SIGUSR2, SIG_IGN);
  sync_();
  int now = 0;
  prctl(PR_GET_PDEATHSIG, &now);
  CHECK(now == SIGUSR2, "signal %d", now);
}
static void id_slack(void) {
  MUST(prctl(PR_SET_TIMERSLACK, 123456));
  sync_();
  CHECK(prctl(PR_GET_TIMERSLACK) == 123456, "timer slack");
}
static long number_in(const char *path) {
  char text[64] = "";
  int fd = open(path, O_RDONLY);
  if (fd < 0 || read(fd, text, sizeof text - 1) <= 0) return -1000;
  close(fd);
  char *space = strrchr(text, ' ');
  return atol(space ? space : text);
}
static void id_login(void) {
  int fd = open("/proc/self/loginuid", O_WRONLY);
  if (fd < 0 || write(fd, "12345", 5) != 5) skip("no login uid to set");
  close(fd);
  sync_();
  CHECK(number_in("/proc/self/loginuid") == 12345, "login uid %ld", number_in("/proc/self/loginuid"));
}
static void id_autogroup(void) {
  int fd = open("/proc/self/autogroup", O_WRONLY);
  if (getsid(0) != getpid() || fd < 0 || write(fd, "7", 1) != 1) skip("no autogroup of its own");
  close(fd);
  sync_();
  CHECK(number_in("/proc/self/autogroup") == 7, "nice %ld", number_in("/proc/self/autogroup"));
}
static void id_subreaper(void) {
  MUST(prctl(PR_SET_CHILD_SUBREAPER, 1));
  sync_();
  int now = 0;
  prctl(PR_GET_CHILD_SUBREAPER, &now);
  CHECK(now == 1, "subreaper");
}
static void id_securebits(void) {
  if (prctl(PR_SET_SECUREBITS, 1 << 4 | 1 << 0)) skip("not allowed");
  sync_();
  CHECK(prctl(PR_GET_SECUREBITS) == (1 << 4 | 1 << 0), "securebits");
}
static void id_no_new_privs(void) {
  MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  sync_();
  CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1, "no_new_privs");
}
static void put(const char *path, const char *text) {
  int fd = open(path, O_WRONLY);
  if (fd < 0 || write(fd, text, strlen(text)) < 0) skip("cannot write a setting in /proc");
  close(fd);
}
static void expect_in(const char *path, const char *wanted) {
  char text[64] = {0};
  int fd = MUST(open(path, O_RDONLY));
  CHECK(read(fd, text, sizeof text - 1) >= 0 && !strncmp(text, wanted, strlen(wanted)), "%s: %s", path, text);
  close(fd);
}
static void id_oom(void) {
  put("/proc/self/oom_score_adj", "321");
  sync_();
  expect_in("/proc/self/oom_score_adj", "321\n");
}
static void id_coredump(void) {
  put("/proc/self/coredump_filter", "0x7f");
  sync_();
  expect_in("/proc/self/coredump_filter", "0000007f\n");
}
static void id_thp(void) {
  MUST(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
  sync_();
  CHECK(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1, "THP");
}
static void id_mdwe(void) {
  if (prctl(65, 1, 0, 0, 0)) skip("no PR_SET_MDWE");
  sync_();
  CHECK(prctl(66, 0, 0, 0, 0) == 1, "MDWE");
  char *at = map(PAGE, RW, ANON, -1);
  CHECK(mprotect(at, PAGE, PROT_READ | PROT_EXEC) == -1, "it does not hold");
}
static void id_groups(void) {
  gid_t groups[] = {5, 17, 400000}, now[8];
  MUST(setgroups(3, groups));
  sync_();
  CHECK(getgroups(8, now) == 3 && now[0] == 5 && now[1] == 17 && now[2] == 400000, "groups");
}
static void id_user(void) {
  MUST(chmod(jcr_dir, 0777));
  MUST(setresgid(1234, 1235, 1236)), MUST(setresuid(2001, 2002, 2003));
  sync_();
  uid_t a, b, c;
  getresuid(&a, &b, &c);
  CHECK(a == 2001 && b == 2002 && c == 2003, "uids %d %d %d", a, b, c);
  getresgid(&a, &b, &c);
  CHECK(a == 1234 && b == 1235 && c == 1236, "gids %d %d %d", a, b, c);
}
static void id_capabilities(void) {
  uint32_t header[2] = {0x20080522, 0}, data[6] = {0}, now[6];
  data[0] = data[1] = 1 << 0 | 1 << 7, data[2] = 1 << 7;  // CAP_CHOWN, CAP_SETUID
  MUST(prctl(PR_CAPBSET_DROP, 25));
  MUST(syscall(SYS_capset, header, data));
  MUST(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 7, 0, 0));
  MUST(chmod(jcr_dir, 0777));
  sync_();
  MUST(syscall(SYS_capget, header, now));
  CHECK(!memcmp(data, now, sizeof now), "capabilities %x %x %x", now[0], now[1], now[2]);
  CHECK(prctl(PR_CAPBSET_READ, 25) == 0 && prctl(PR_CAPBSET_READ, 23) == 1, "bounding set");
  CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 7, 0, 0) == 1, "ambient");
}
static void id_session(void) {
  pid_t session = getsid(0), group = getpgrp();
  sync_();
  CHECK(getsid(0) == session && getpgrp() == group, "session %d, group %d", getsid(0), getpgrp());
}
static void id_io_flusher(void) {
  if (prctl(57, 1, 0, 0, 0)) skip("no PR_SET_IO_FLUSHER");
  sync_();
  CHECK(prctl(58, 0, 0, 0, 0) == 1, "PR_SET_IO_FLUSHER");
}

// ---- threads

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static volatile int go, started;
static __thread int own = 5;
static int results[128];
static void *numbered(void *argument) {
  int i = (int)(long)argument;
  own = i * 11;
  __atomic_add_fetch(&started, 1, __ATOMIC_SEQ_CST);
  while (!go) nap(5);
  results[i] = own;
  return NULL;
}
static void run_threads(int count, pthread_t *threads, void *(*what)(void *)) {
  for (int i = 0; i < count; i++) CHECK(!pthread_create(&threads[i], NULL, what, (void *)(long)i), "set-up");
  while (started < count) nap(1);
}
static void thread_hundred(void) {
  pthread_t threads[100];
  run_threads(100, threads, numbered);
  sync_();
  go = 1;
  for (int i = 0; i < 100; i++) CHECK(!pthread_join(threads[i], NULL) && results[i] == i * 11, "thread %d", i);
}
static void thread_local(void) {
  pthread_t thread;
  own = 9;
  run_threads(1, &thread, numbered);
  sync_();
  CHECK(own == 9, "thread-local storage %d", own);
  go = 1, pthread_join(thread, NULL);
}
static void *masked(void *argument) {
  int i = (int)(long)argument;
  sigset_t set, now;
  sigemptyset(&set), sigaddset(&set, SIGRTMIN + i), pthread_sigmask(SIG_SETMASK, &set, NULL);
  __atomic_add_fetch(&started, 1, __ATOMIC_SEQ_CST);
  while (!go) nap(5);
  pthread_sigmask(SIG_BLOCK, NULL, &now);
  results[i] = sigismember(&now, SIGRTMIN + i) && !sigismember(&now, SIGRTMIN + i + 1);
  return NULL;
}
static void thread_masks(void) {
  pthread_t threads[8];
  run_threads(8, threads, masked);
  sync_();
  go = 1;
  for (int i = 0; i < 8; i++) CHECK(!pthread_join(threads[i], NULL) && results[i], "thread %d", i);
}
static void *named(void *argument) {
  int i = (int)(long)argument;
  char name[16], now[16];
  snprintf(name, sizeof name, "worker %d", i);
  prctl(PR_SET_NAME, name);
  setpriority(PRIO_PROCESS, syscall(SYS_gettid), i);
  __atomic_add_fetch(&started, 1, __ATOMIC_SEQ_CST);
  while (!go) nap(5);
  prctl(PR_GET_NAME, now);
  results[i] = !strcmp(name, now) && getpriority(PRIO_PROCESS, syscall(SYS_gettid)) == i;
  return NULL;
}
static void thread_names(void) {
  pthread_t threads[8];
  run_threads(8, threads, named);
  sync_();
  go = 1;
  for (int i = 0; i < 8; i++) CHECK(!pthread_join(threads[i], NULL) && results[i], "thread %d", i);
}
static void thread_nice(void) { thread_names(); }
static void *locker(void *argument) {
  (void)argument;
  __atomic_add_fetch(&started, 1, __ATOMIC_SEQ_CST);
  pthread_mutex_lock(&mutex), go++, pthread_mutex_unlock(&mutex);
  return NULL;
}
static void thread_mutex(void) {
  pthread_t threads[10];
  pthread_mutex_lock(&mutex);
  run_threads(10, threads, locker);
  nap(20);
  sync_();
  CHECK(go == 0, "the mutex does not hold");
  pthread_mutex_unlock(&mutex);
  for (int i = 0; i < 10; i++) pthread_join(threads[i], NULL);
  CHECK(go == 10, "%d", go);
}
static pthread_mutex_t robust;
static void *dies_with_it(void *argument) {
  (void)argument;
  pthread_mutex_lock(&robust);
  started = 1;
  while (!go) nap(5);
  return NULL;
}
static void thread_robust(void) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes), pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST), pthread_mutex_init(&robust, &attributes);
  pthread_t thread;
  run_threads(1, &thread, dies_with_it);
  sync_();
  CHECK(pthread_mutex_trylock(&robust) == EBUSY, "free");
  go = 1, pthread_join(thread, NULL);
  CHECK(pthread_mutex_lock(&robust) == EOWNERDEAD, "the owner's death went unnoticed");
}
static void *waiter(void *argument) {
  (void)argument;
  pthread_mutex_lock(&mutex);
  started++;
  while (!go) pthread_cond_wait(&cond, &mutex);
  results[0]++;
  pthread_mutex_unlock(&mutex);
  return NULL;
}
static void thread_cond(void) {
  pthread_t threads[10];
  run_threads(10, threads, waiter);
  nap(20);
  sync_();
  pthread_mutex_lock(&mutex), go = 1, pthread_cond_broadcast(&cond), pthread_mutex_unlock(&mutex);
  for (int i = 0; i < 10; i++) pthread_join(threads[i], NULL);
  CHECK(results[0] == 10, "%d woke", results[0]);
}
static void *at_barrier(void *argument) {
  (void)argument;
  __atomic_add_fetch(&started, 1, __ATOMIC_SEQ_CST);
  pthread_barrier_wait(&barrier);
  __atomic_add_fetch(&go, 1, __ATOMIC_SEQ_CST);
  return NULL;
}
static void thread_barrier(void) {
  pthread_t threads[5];
  pthread_barrier_init(&barrier, NULL, 6);
  run_threads(5, threads, at_barrier);
  nap(20);
  sync_();
  CHECK(go == 0, "passed");
  pthread_barrier_wait(&barrier);
  for (int i = 0; i < 5; i++) pthread_join(threads[i], NULL);
  CHECK(go == 5, "%d", go);
}
static void thread_exited(void) {
  pthread_t threads[20];
  run_threads(20, threads, numbered);
  go = 1;
  for (int i = 0; i < 20; i++) pthread_join(threads[i], NULL);
  sync_();
  pthread_t more;
  CHECK(!pthread_create(&more, NULL, numbered, (void *)3L) && !pthread_join(more, NULL) && results[3] == 33, "a new thread");
}

// ---- unix sockets

static struct sockaddr_un un(const char *path) {
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  snprintf(name.sun_path, sizeof name.sun_path, "%s", path);
  return name;
}
static void unix_listener(void) {
  int fd = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
  struct sockaddr_un name = un(in_dir("socket"));
  MUST(bind(fd, (void *)&name, sizeof name)), MUST(chmod(name.sun_path, 0751)), MUST(listen(fd, 7));
  sync_();
  struct stat st;
  CHECK(!stat(name.sun_path, &st) && (st.st_mode & 0777) == 0751, "mode");
  int client = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
  CHECK(!connect(client, (void *)&name, sizeof name), "connect: %s", strerror(errno));
  int server = accept(fd, NULL, NULL);
  char text[4];
  CHECK(server >= 0 && write(client, "text", 4) == 4 && read(server, text, 4) == 4, "a connection");
}
static void unix_datagram(void) {
  int fd = MUST(socket(AF_UNIX, SOCK_DGRAM, 0)), to = MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
  struct sockaddr_un name = un(in_dir("socket"));
  MUST(bind(fd, (void *)&name, sizeof name)), MUST(connect(to, (void *)&name, sizeof name));
  sync_();
  char text[8];
  CHECK(send(to, "text", 4, 0) == 4 && recv(fd, text, 8, MSG_DONTWAIT) == 4, "datagram: %s", strerror(errno));
}
static void unix_abstract(void) {
  int fd = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  int size = 2 + snprintf(name.sun_path + 1, 100, "jcr zoo %d", (int)getpid()) + 1;
  MUST(bind(fd, (void *)&name, size)), MUST(listen(fd, 1));
  sync_();
  int client = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
  CHECK(!connect(client, (void *)&name, size), "connect: %s", strerror(errno));
}
static void unix_packets(void) {
  int s[2];
  MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, s));
  for (int i = 1; i < 20; i++) CHECK(send(s[0], "abcdefghijklmnopqrstuvwxyz", i, 0) == i, "set-up");
  sync_();
  char text[64];
  for (int i = 1; i < 20; i++) CHECK(recv(s[1], text, 64, 0) == i, "packet %d", i);
  CHECK(recv(s[1], text, 64, 0) == -1, "one more");
}
static void unix_passcred(void) {
  int s[2], one = 1;
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
  MUST(setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof one));
  CHECK(send(s[0], "text", 4, 0) == 4, "set-up");
  sync_();
  char text[8], control[128];
  struct iovec iov = {text, 8};
  struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  CHECK(recvmsg(s[1], &message, 0) == 4, "message");
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  CHECK(head && head->cmsg_type == SCM_CREDENTIALS && ((struct ucred *)CMSG_DATA(head))->pid == getpid(), "credentials");
}
static void unix_unlinked(void) {
  int fd = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
  struct sockaddr_un name = un(in_dir("socket")), now;
  MUST(bind(fd, (void *)&name, sizeof name)), MUST(listen(fd, 1)), MUST(unlink(name.sun_path));
  sync_();
  socklen_t size = sizeof now;
  MUST(getsockname(fd, (void *)&now, &size));
  CHECK(!strcmp(now.sun_path, name.sun_path) && access(name.sun_path, F_OK), "name");
}
static void unix_peer_gone(void) {
  int s[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
  CHECK(send(s[0], "left", 4, 0) == 4, "set-up");
  close(s[0]);
  sync_();
  char text[8];
  CHECK(recv(s[1], text, 8, 0) == 4 && recv(s[1], text, 8, 0) == 0 && send(s[1], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE, "end");
}
static void unix_half(void) {
  int s[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
  MUST(shutdown(s[0], SHUT_WR));
  sync_();
  char text[8];
  CHECK(recv(s[1], text, 8, 0) == 0 && send(s[1], "x", 1, 0) == 1 && recv(s[0], text, 8, 0) == 1, "half");
}

// ---- a thread that is blocked

static int ends[2];
static void *blocked(void *argument) {
  const char *how = argument;
  char byte;
  sigset_t set;
  struct epoll_event event = {EPOLLIN, {.u32 = 1}};
  struct pollfd p = {ends[0], POLLIN, 0};
  started = 1;
  if (!strcmp(how, "poll")) results[0] = poll(&p, 1, -1) == 1;
  if (!strcmp(how, "read")) results[0] = read(ends[0], &byte, 1) == 1;
  if (!strcmp(how, "epoll")) {
    int ep = epoll_create1(0);
    epoll_ctl(ep, EPOLL_CTL_ADD, ends[0], &event);
    results[0] = epoll_wait(ep, &event, 1, -1) == 1;
  }
  if (!strcmp(how, "sigwait")) {
    int number;
    sigemptyset(&set), sigaddset(&set, SIGUSR1);
    results[0] = !sigwait(&set, &number) && number == SIGUSR1;
  }
  if (!strcmp(how, "pause")) results[0] = pause() == -1 && errno == EINTR;
  if (!strcmp(how, "lock")) {
    struct flock lock = {.l_type = F_WRLCK, .l_start = 0, .l_len = 1};
    int fd = open(in_dir("data"), O_RDWR);
    results[0] = fcntl(fd, F_OFD_SETLKW, &lock) == 0;
  }
  return NULL;
}
static void nothing(int number) { (void)number; }
static void wait_in(const char *how) {
  MUST(pipe(ends));
  sigset_t set;
  sigemptyset(&set);
  if (!strcmp(how, "sigwait")) sigaddset(&set, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  struct sigaction act = {.sa_handler = nothing};
  sigaction(SIGUSR2, &act, NULL);
  int fd = -1;
  if (!strcmp(how, "lock")) {
    fd = file_with("data", 8, 1);
    struct flock lock = {.l_type = F_WRLCK, .l_start = 0, .l_len = 1};
    MUST(fcntl(fd, F_OFD_SETLK, &lock));
  }
  pthread_t thread;
  pthread_create(&thread, NULL, blocked, (void *)how);
  while (!started) nap(1);
  nap(30);
  sync_();
  nap(10);
  CHECK(results[0] == 0, "it returned");
  if (!strcmp(how, "sigwait")) kill(getpid(), SIGUSR1);
  else if (!strcmp(how, "pause")) pthread_kill(thread, SIGUSR2);
  else if (!strcmp(how, "lock")) close(fd);
  else CHECK(write(ends[1], "x", 1) == 1, "write");
  pthread_join(thread, NULL);
  CHECK(results[0] == 1, "%s returned something else", how);
}
static void wait_poll(void) { wait_in("poll"); }
static void wait_read(void) { wait_in("read"); }
static void wait_epoll(void) { wait_in("epoll"); }
static void wait_sigwait(void) { wait_in("sigwait"); }
static void wait_pause(void) { wait_in("pause"); }
static void wait_lock(void) { wait_in("lock"); }

int main(int argc, char **argv) {
  start(argc, argv);
  const char *part = argc > 2 ? argv[2] : "mem_none";
#define RUN(name)                \
  if (!strcmp(part, #name)) {    \
    name();                      \
    pass();                      \
  }
  CASES(RUN)
#define LIST(name) puts(#name);
  if (!strcmp(part, "list")) {
    CASES(LIST)
    return 0;
  }
  fail("no case %s", part);
}
