// What a mapping can be besides its protection.
//
//   ranges DIR guard|guardfile|lockfuture|lockonfault|sysv|sysvgone|sysvreadonly|sealed
#include "jcrtest.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>

#define PAGE WHOLE_PAGE
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#ifndef MCL_ONFAULT
#define MCL_ONFAULT 4
#endif

static sigjmp_buf back;
static void on_fault(int signal) { siglongjmp(back, signal); }
static int faults(volatile char *at) {
  struct sigaction act = {.sa_handler = on_fault}, old, oldbus;
  sigaction(SIGSEGV, &act, &old), sigaction(SIGBUS, &act, &oldbus);
  int signal = sigsetjmp(back, 1);
  if (!signal) (void)*at;
  sigaction(SIGSEGV, &old, NULL), sigaction(SIGBUS, &oldbus, NULL);
  return signal;
}
// VmFlags of the mapping at `at` hold `flag`.
static int has_flag(const void *at, const char *flag) {
  FILE *smaps = fopen("/proc/self/smaps", "r");
  char line[512];
  int inside = 0, found = 0;
  while (fgets(line, sizeof line, smaps)) {
    unsigned long from, to;
    if (sscanf(line, "%lx-%lx ", &from, &to) == 2) inside = from <= (unsigned long)at && (unsigned long)at < to;
    if (inside && !strncmp(line, "VmFlags:", 8)) {
      char wanted[8];
      snprintf(wanted, sizeof wanted, " %s", flag);
      found = strstr(line, wanted) != NULL;
    }
  }
  fclose(smaps);
  return found;
}

static void guard(int file) {
  int fd = -1;
  if (file) {
    fd = MUST(open(in_dir("data"), O_RDWR | O_CREAT, 0666));
    static char data[8 * PAGE];
    fill(data, sizeof data, 5);
    CHECK(write(fd, data, sizeof data) == sizeof data, "set-up");
  }
  char *at = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, file ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
  CHECK(at != MAP_FAILED, "set-up");
  fill(at, 8 * PAGE, 5);
  if (madvise(at + PAGE, 2 * PAGE, MADV_GUARD_INSTALL)) skip("no MADV_GUARD_INSTALL");
  MUST(madvise(at + 6 * PAGE, PAGE, MADV_GUARD_INSTALL));
  ready();
  wait_for_check();
  for (int i = 0; i < 8; i++) {
    int guarded = i == 1 || i == 2 || i == 6;
    CHECK((faults(at + i * PAGE) != 0) == guarded, "page %d", i);
    if (!guarded) {
      char wanted[8 * PAGE];
      fill(wanted, sizeof wanted, 5);
      CHECK(!memcmp(at + i * PAGE, wanted + i * PAGE, PAGE), "content of page %d", i);
    }
  }
  pass();
}

static void lock_future(int flags) {
  char *before = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mlockall(flags)) skip("mlockall is not allowed");
  char *locked = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ready();
  wait_for_check();
  CHECK(!has_flag(before, "lo"), "locked what was there before");
  CHECK(has_flag(locked, "lo"), "unlocked");
  char *after = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(has_flag(after, "lo"), "MCL_FUTURE is lost");
  CHECK(has_flag(after, "lf") == !!(flags & MCL_ONFAULT), "MCL_ONFAULT");
  pass();
}

static void sysv(int gone, int readonly) {
  key_t key = gone ? IPC_PRIVATE : (key_t)(0x4a430000 + (getpid() & 0xffff));
  int id = shmget(key, 5 * PAGE + 100, IPC_CREAT | IPC_EXCL | 0640);
  if (id < 0) skip("no System V shared memory");
  char *at = shmat(id, NULL, 0);
  CHECK(at != (void *)-1, "set-up");
  fill(at, 5 * PAGE, 9);
  char *second = shmat(id, NULL, readonly ? SHM_RDONLY : 0);
  CHECK(second != (void *)-1, "set-up");
  if (gone) MUST(shmctl(id, IPC_RMID, NULL));
  ready();
  wait_for_check();
  CHECK(differs(at, 5 * PAGE, 9) < 0, "content at %ld", differs(at, 5 * PAGE, 9));
  CHECK(differs(second, 5 * PAGE, 9) < 0, "second attachment");
  at[17] = 'x';
  CHECK(second[17] == 'x', "not one segment");
  struct shmid_ds info;
  MUST(shmctl(id, IPC_STAT, &info));
  CHECK(info.shm_nattch == 2, "%d attachments", (int)info.shm_nattch);
  CHECK(info.shm_segsz == 5 * PAGE + 100, "size %zu", info.shm_segsz);
  CHECK((info.shm_perm.mode & 0777) == 0640, "mode %o", info.shm_perm.mode);
  CHECK(!!(info.shm_perm.mode & SHM_DEST) == gone, "marked for removal");
  if (!gone) CHECK(info.shm_perm.__key == key && shmget(key, 0, 0) == id, "key");
  MUST(shmdt(at));
  MUST(shmdt(second));
  if (!gone) MUST(shmctl(id, IPC_RMID, NULL));
  pass();
}

static void sealed(void) {
  char *at = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  fill(at, 4 * PAGE, 3);
  if (syscall(462 /* mseal */, at, 2 * PAGE, 0)) skip("no mseal");
  ready();
  wait_for_check();
  CHECK(differs(at, 4 * PAGE, 3) < 0, "content");
  CHECK(munmap(at, PAGE) == -1 && errno == EPERM, "not sealed");
  CHECK(munmap(at + 3 * PAGE, PAGE) == 0, "sealed too much");
  pass();
}

int main(int argc, char **argv) {
  start(argc, argv);
  const char *part = argc > 2 ? argv[2] : "guard";
  if (!strncmp(part, "guard", 5)) guard(!strcmp(part, "guardfile"));
  if (!strcmp(part, "lockfuture")) lock_future(MCL_FUTURE);
  if (!strcmp(part, "lockonfault")) lock_future(MCL_FUTURE | MCL_ONFAULT);
  if (!strncmp(part, "sysv", 4)) sysv(!strcmp(part, "sysvgone"), !strcmp(part, "sysvreadonly"));
  if (!strcmp(part, "sealed")) sealed();
  fail("no part %s", part);
}
