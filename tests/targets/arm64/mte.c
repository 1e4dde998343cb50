// Tags of PROT_MTE mappings, content below them, and each thread's own mode of checking.
#include "../jcrtest.h"
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#ifndef PROT_MTE
#define PROT_MTE 0x20
#endif
enum { GRANULE = 16, SIZE = 1 << 18 };
static char *areas[4];
static const char *const kinds[] = {"anonymous", "read-only", "sparse", "shared"};
static atomic_int set_up, checked;

static int tag_of(int area, size_t at) { return (int)(mix(area * 1000003ul + at / GRANULE) & 15); }
static void set_tag(char *at, int tag) {
  char *tagged = (char *)((uint64_t)at | (uint64_t)tag << 56);
  asm volatile(".arch armv8.5-a+memtag\nstg %0, [%0]" ::"r"(tagged) : "memory");
}
static int get_tag(char *at) {
  uint64_t loaded = (uint64_t)at;
  asm volatile(".arch armv8.5-a+memtag\nldg %0, [%0]" : "+r"(loaded)::"memory");
  return (int)(loaded >> 56 & 15);
}
static int used(int area, size_t at) { return area != 2 || at / 65536 % 2 == 0; }

static sigjmp_buf back;
static volatile int code;
static void on_fault(int number, siginfo_t *info, void *context) {
  (void)number, (void)context;
  code = info->si_code;
  siglongjmp(back, 1);
}

static unsigned long mode_of(int thread) {
  static const unsigned long modes[] = {PR_MTE_TCF_SYNC, PR_MTE_TCF_NONE, PR_MTE_TCF_SYNC};
  return PR_TAGGED_ADDR_ENABLE | modes[thread] | (0xfffeul >> thread & 0xfffe) << PR_MTE_TAG_SHIFT;
}
static void *body(void *argument) {
  int thread = (int)(intptr_t)argument;
  MUST(prctl(PR_SET_TAGGED_ADDR_CTRL, mode_of(thread), 0, 0, 0));
  set_up++;
  wait_for_check();
  unsigned long now = (unsigned long)MUST(prctl(PR_GET_TAGGED_ADDR_CTRL, 0, 0, 0, 0));
  CHECK(now == mode_of(thread), "thread %d: mode %lx, want %lx", thread, now, mode_of(thread));
  checked++;
  return NULL;
}

int main(int argc, char **argv) {
  start(argc, argv);
  if (!(getauxval(AT_HWCAP2) & 1ul << 18)) skip("this CPU has no memory tagging");
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
  MUST(sigaction(SIGSEGV, &action, NULL));
  for (int a = 0; a < 4; a++) {
    areas[a] = MUST(mmap(NULL, SIZE, PROT_READ | PROT_WRITE | PROT_MTE,
                         (a == 3 ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS, -1, 0));
    for (size_t i = 0; i < SIZE; i += GRANULE) {
      if (!used(a, i)) continue;
      fill(areas[a] + i, GRANULE, a * 77 + i);
      set_tag(areas[a] + i, tag_of(a, i));
    }
  }
  MUST(mprotect(areas[1], SIZE, PROT_READ | PROT_MTE));
  pthread_t threads[2];
  for (intptr_t i = 0; i < 2; i++) CHECK(!pthread_create(&threads[i], NULL, body, (void *)(i + 1)), "thread");
  while (set_up < 2) nap(1);
  MUST(prctl(PR_SET_TAGGED_ADDR_CTRL, mode_of(0), 0, 0, 0));
  ready();
  wait_for_check();
  for (int a = 0; a < 4; a++) {
    for (size_t i = 0; i < SIZE; i += GRANULE) {
      int want = used(a, i) ? tag_of(a, i) : 0, is = get_tag(areas[a] + i);
      CHECK(is == want, "%s: tag at %zx is %d, want %d", kinds[a], i, is, want);
      char *tagged = (char *)((uint64_t)(areas[a] + i) | (uint64_t)is << 56);
      if (used(a, i)) CHECK(differs(tagged, GRANULE, a * 77 + i) == -1, "%s: content at %zx", kinds[a], i);
    }
  }
  volatile char *wrong = (char *)((uint64_t)areas[0] | (uint64_t)(tag_of(0, 0) ^ 5) << 56);
  if (!sigsetjmp(back, 1)) {
    char c = *wrong;
    (void)c;
    fail("an access with a wrong tag went through");
  }
  CHECK(code == 9 /* SEGV_MTESERR */, "signal code %d", code);
  unsigned long now = (unsigned long)MUST(prctl(PR_GET_TAGGED_ADDR_CTRL, 0, 0, 0, 0));
  CHECK(now == mode_of(0), "mode %lx, want %lx", now, mode_of(0));
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  CHECK(checked == 2, "threads");
  pass();
}
