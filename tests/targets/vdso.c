// Everything that the vDSO exports, by the addresses that were found before the dump, agrees with the
// system calls of the same names.
//   vdso DIR
#include "jcrtest.h"
#include <elf.h>
#include <link.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/time.h>

#define SLACK 1000000000LL

static const char *base;

// By the dynamic symbol table, as the C library does.
static void *function(const char *plain) {
  const ElfW(Ehdr) *elf = (const void *)base;
  const ElfW(Phdr) *headers = (const void *)(base + elf->e_phoff);
  const ElfW(Dyn) *dynamic = NULL;
  for (int i = 0; i < elf->e_phnum; i++)
    if (headers[i].p_type == PT_DYNAMIC) dynamic = (const void *)(base + headers[i].p_vaddr);
  CHECK(dynamic, "no dynamic section");
  const ElfW(Sym) *symbols = NULL;
  const char *names = NULL;
  for (; dynamic->d_tag; dynamic++) {
    if (dynamic->d_tag == DT_SYMTAB) symbols = (const void *)(base + dynamic->d_un.d_ptr);
    if (dynamic->d_tag == DT_STRTAB) names = base + dynamic->d_un.d_ptr;
  }
  // The string table follows the symbols.
  for (const ElfW(Sym) *symbol = symbols + 1; (const char *)symbol < names; symbol++) {
    const char *name = names + symbol->st_name;
    if (strncmp(name, "__vdso_", 7) == 0) name += 7;
    else if (strncmp(name, "__kernel_", 9) == 0) name += 9;
    else continue;
    if (!strcmp(name, plain)) return (void *)(base + symbol->st_value);
  }
  return NULL;
}

static int64_t clock_by_call(clockid_t clock) {
  struct timespec now;
  MUST(syscall(SYS_clock_gettime, clock, &now));
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void clocks(int (*get)(clockid_t, struct timespec *)) {
  clockid_t ids[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI, CLOCK_MONOTONIC_RAW};
  for (unsigned i = 0; i < sizeof ids / sizeof *ids; i++) {
    for (int round = 0; round < 200; round++) {
      int64_t before = clock_by_call(ids[i]);
      struct timespec now;
      int error = get(ids[i], &now);
      int64_t at = now.tv_sec * 1000000000LL + now.tv_nsec, after = clock_by_call(ids[i]);
      CHECK(!error && before <= at && at <= after, "clock %d: error %d, %ld <= %ld <= %ld", ids[i], error,
            (long)before, (long)at, (long)after);
      int64_t libc = now_ns(ids[i]);
      CHECK(after <= libc && libc <= clock_by_call(ids[i]), "clock %d of the C library", ids[i]);
    }
  }
  struct timespec coarse;
  CHECK(!get(CLOCK_MONOTONIC_COARSE, &coarse), "the coarse clock");
  // The kernel itself makes the call where the vDSO cannot answer.
  struct timespec cpu;
  CHECK(!get(CLOCK_PROCESS_CPUTIME_ID, &cpu) && (cpu.tv_sec || cpu.tv_nsec), "the processor time");
  CHECK(get(99, &cpu), "clock 99 is there");
}

int main(int argc, char **argv) {
  start(argc, argv);
  base = (const char *)getauxval(AT_SYSINFO_EHDR);
  if (!base) skip("no vDSO");
  int (*gettime)(clockid_t, struct timespec *) = function("clock_gettime");
  int (*getres)(clockid_t, struct timespec *) = function("clock_getres");
  int (*day)(struct timeval *, void *) = function("gettimeofday");
  long (*seconds)(time_t *) = function("time");
  long (*cpu)(unsigned *, unsigned *, void *) = function("getcpu");
  ssize_t (*randomness)(void *, size_t, unsigned, void *, size_t) = function("getrandom");
  CHECK(gettime && getres && day, "the vDSO has no clocks");
  // The C library resolves its own now, so that it has the addresses.
  int64_t before = now_ns(CLOCK_MONOTONIC);
  struct timeval then;
  gettimeofday(&then, NULL);
  sched_getcpu();
  ready();
  wait_for_check();

  CHECK(now_ns(CLOCK_MONOTONIC) >= before, "the clock went back");
  clocks(gettime);
  struct timespec resolution, wanted;
  MUST(syscall(SYS_clock_getres, CLOCK_MONOTONIC, &wanted));
  CHECK(!getres(CLOCK_MONOTONIC, &resolution) && resolution.tv_nsec == wanted.tv_nsec, "clock_getres: %ld ns",
        resolution.tv_nsec);
  struct timeval now;
  struct timezone zone = {1234, 1234};
  CHECK(!day(&now, &zone), "gettimeofday");
  int64_t distance = clock_by_call(CLOCK_REALTIME) - (now.tv_sec * 1000000000LL + now.tv_usec * 1000LL);
  CHECK(distance >= 0 && distance < SLACK && zone.tz_minuteswest != 1234, "gettimeofday: %ld ns away", (long)distance);
  CHECK(now.tv_sec >= then.tv_sec, "the time went back");
  if (seconds) {
    time_t stored = 0;
    long at = seconds(&stored), real = clock_by_call(CLOCK_REALTIME) / 1000000000;
    CHECK(at == stored && real - at <= 1 && at <= real, "time: %ld, it is %ld", at, real);
  }
  if (cpu) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    MUST(sched_setaffinity(0, sizeof one, &one));
    unsigned number = 999, node = 999;
    CHECK(!cpu(&number, &node, NULL) && number < CPU_SETSIZE && CPU_ISSET(number, &one) && node < 999,
          "getcpu: CPU %u, node %u", number, node);
  }
  if (randomness) {
    // Without a state of its own it is the system call.
    uint64_t some[4] = {0};
    CHECK(randomness(some, sizeof some, 0, NULL, 0) == sizeof some, "getrandom");
    CHECK(some[0] && some[1] && some[0] != some[1], "getrandom gave no random numbers");
  }
  pass();
}
