// The guarded control stack is on, in a deep call and in a thread: a return to what is not on it faults.
#include "../jcrtest.h"
#include <sys/auxv.h>

enum { SET_STATUS = 75, GET_STATUS = 74, ENABLE = 1 };

static uint64_t top(void) {
  uint64_t pointer;
  asm volatile("mrs %0, s3_3_c2_c5_1" : "=r"(pointer));  // GCSPR_EL0
  return pointer;
}

__attribute__((noinline)) static int deep(int depth, int *stage) {
  if (depth > 0) {
    int below = deep(depth - 1, stage);
    asm volatile("" ::: "memory");
    return below + 1;
  }
  uint64_t before = top(), bottom_entry = *(volatile uint64_t *)before;
  ready();
  while (!told_to_check()) nap(2);
  CHECK(top() == before, "GCSPR %llx, was %llx", (unsigned long long)top(), (unsigned long long)before);
  CHECK(*(volatile uint64_t *)before == bottom_entry, "entry on the guarded stack");
  *stage = 1;
  return 0;
}

static _Noreturn void work(void) {
  int stage = 0;
  int depth = deep(30, &stage);
  CHECK(depth == 30 && stage == 1, "depth %d", depth);
  uint64_t status = 0;
  CHECK(!syscall(SYS_prctl, GET_STATUS, &status, 0, 0, 0) && status & ENABLE, "status %llx", (unsigned long long)status);
  pass();
}

int main(int argc, char **argv) {
  start(argc, argv);
  if (!(getauxval(AT_HWCAP) & 1ul << 32)) skip("this CPU or kernel has no guarded control stack");
  // Inline, since no return may follow: the guarded stack begins empty.
  register long x0 asm("x0") = SET_STATUS, x1 asm("x1") = ENABLE, x2 asm("x2") = 0, x3 asm("x3") = 0, x4 asm("x4") = 0,
                x8 asm("x8") = SYS_prctl;
  asm volatile("svc #0" : "+r"(x0) : "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x8) : "memory");
  if (x0) skip("the guarded control stack cannot be switched on");
  work();
}
