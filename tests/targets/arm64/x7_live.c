// The example of Keno Fischer's report (arm64: Register modification during syscall entry/exit stop): a compiler that
// knows that a system call keeps registers has a value live in x7 across one. It counts rounds until told.
#include "../jcrtest.h"

static long call1(long number, long a) {
  register long x8 asm("x8") = number, x0 asm("x0") = a;
  asm volatile("svc #0" : "+r"(x0) : "r"(x8) : "memory", "cc");
  return x0;
}

int main(int argc, char **argv) {
  start(argc, argv);
  ready();
  for (uint64_t round = 0;; round++) {
    register uint64_t live asm("x7") = mix(round);
    asm volatile("" : "+r"(live));
    long pid = call1(SYS_getppid, 0);
    asm volatile("" : "+r"(live));
    uint64_t x7 = live;
    CHECK(pid >= 0 && x7 == mix(round), "x7: want %llx, is %llx, round %llu", (unsigned long long)mix(round),
          (unsigned long long)x7, (unsigned long long)round);
    if (round % 64 == 0 && told_to_check()) pass();
  }
}
