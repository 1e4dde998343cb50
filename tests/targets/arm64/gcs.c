// The guarded control stack (GCS): every return is checked by the CPU against what the calls wrote. Three threads: the
// main one in deep calls, one in a signal handler with its features locked, and one that has none. Each holds calls that
// are open when the process is dumped, and returns through them at the end. The last thing is a return that must fail.
#include "../jcrtest.h"
#include <pthread.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/prctl.h>

enum { GET_STATUS = 74, SET_STATUS = 75, LOCK_STATUS = 76, ENABLE = 1, WRITE = 2, PUSH = 4, ALL = 7 };
enum { HELD = 60, DEEPEST = 200, MAPPED = 1 << 16, TOKEN = 1, MARKER = 2, CONTROL_PROTECTION = 10 };

static uint64_t top(void) {
  uint64_t pointer;
  asm volatile("mrs %0, s3_3_c2_c5_1" : "=r"(pointer));  // GCSPR_EL0
  return pointer;
}

static uint64_t digest(uint64_t from, uint64_t to) {
  uint64_t sum = 1;
  for (uint64_t at = from; at <= to; at += 8) sum = mix(sum ^ *(volatile uint64_t *)at);
  return sum;
}

static unsigned long status(void) {
  unsigned long is = 0;
  MUST(prctl(GET_STATUS, &is, 0, 0, 0));
  return is;
}

// The entry is there after the call, and nothing else has changed below.
#define PLAIN __attribute__((noinline, noclone, optimize("no-optimize-sibling-calls")))
PLAIN static uint64_t deep(int depth, uint64_t above, void (*bottom)(void *), void *argument) {
  uint64_t here = top(), below = 7;
  CHECK(here == above - 8, "depth %d: GCSPR %llx under %llx", depth, (unsigned long long)here, (unsigned long long)above);
  if (depth > 0) below = deep(depth - 1, here, bottom, argument);
  else bottom(argument);
  asm volatile("" ::: "memory");
  CHECK(top() == here, "depth %d: GCSPR %llx, was %llx", depth, (unsigned long long)top(), (unsigned long long)here);
  return below * 31 + (uint64_t)depth;
}

static void through(int depth, void (*bottom)(void *), void *argument) {
  uint64_t expected = 7;
  for (int i = 0; i <= depth; i++) expected = expected * 31 + (uint64_t)i;
  CHECK(deep(depth, top(), bottom, argument) == expected, "depth %d", depth);
}

struct held {
  uint64_t first;  // the oldest entry that is compared
  unsigned long mode;
  volatile int ready;
};

static void quick(void *argument) {
  (void)argument;
  for (volatile int i = 0; i < 20000; i++) {
  }
}

static uint8_t *mapped;
static uint64_t mapped_digest;

static void hold(void *argument) {
  struct held *held = argument;
  uint64_t here = top(), entries = digest(here, held->first);
  held->ready = 1;
  for (uint64_t round = 0; !told_to_check(); round++) {
    through((int)(mix(round) % DEEPEST), quick, NULL);
    if (round % 4 == 0) nap(2);
    CHECK(top() == here && digest(here, held->first) == entries, "the guarded stack differs");
    CHECK(status() == held->mode, "status %lx", status());
  }
  CHECK(digest((uint64_t)mapped, (uint64_t)mapped + MAPPED - 8) == mapped_digest, "the mapped guarded stack differs");
}

static struct held in_main = {.mode = ENABLE | PUSH}, in_handler = {.mode = ENABLE};

static void on_signal(int number) {
  (void)number;
  through(HELD, hold, &in_handler);
}

static void *handle(void *done) {
  in_handler.first = top();
  MUST(prctl(SET_STATUS, ENABLE, 0, 0, 0));
  MUST(prctl(LOCK_STATUS, ALL, 0, 0, 0));
  raise(SIGUSR1);
  CHECK(top() == in_handler.first, "GCSPR after the handler");
  CHECK(prctl(SET_STATUS, ENABLE | WRITE, 0, 0, 0) == -1 && errno == EBUSY, "the lock is gone");
  *(volatile int *)done = 1;
  return NULL;
}

static void *without(void *done) {
  *(volatile int *)done = 1;
  while (*(volatile int *)done == 1) nap(3);
  CHECK(!(status() & ENABLE), "a thread without a guarded stack has one");
  *(volatile int *)done = 3;
  return NULL;
}

static void on_fault(int number, siginfo_t *info, void *context) {
  (void)number, (void)context;
  CHECK(info->si_code == CONTROL_PROTECTION, "si_code %d", info->si_code);
  pass();
}

// Returns to where no call was made.
asm(".text\n.type astray,@function\nastray:\n adr x30, 1f\n ret\n1: b never\n.size astray, .-astray\n");
void astray(void);
__attribute__((used)) static void never(void) { fail("a return to another place went through"); }

static volatile int plain;

static _Noreturn void work(void) {
  static volatile int handled;
  in_main.first = top();
  mapped = (uint8_t *)MUST(syscall(SYS_map_shadow_stack, 0, MAPPED, TOKEN | MARKER));
  mapped_digest = digest((uint64_t)mapped, (uint64_t)mapped + MAPPED - 8);
  pthread_t thread;
  struct sigaction action = {.sa_handler = on_signal};
  MUST(sigaction(SIGUSR1, &action, NULL));
  if (pthread_create(&thread, NULL, handle, (void *)&handled)) fail("set-up: pthread_create");
  while (!in_handler.ready) nap(1);
  through(1, quick, NULL);
  uint64_t pushed = 0x123456789abcdef0, popped = 0;
  ready();
  through(HELD, hold, &in_main);
  CHECK(top() == in_main.first, "GCSPR at the end");
  asm volatile("sys #3, c7, c7, #0, %1\n sysl %0, #3, c7, c7, #1" : "=&r"(popped) : "r"(pushed));  // GCSPUSHM, GCSPOPM
  CHECK(popped == pushed, "pushed and popped");
  CHECK(!prctl(SET_STATUS, ENABLE | WRITE, 0, 0, 0) && status() == (ENABLE | WRITE), "features were not locked");
  plain = 2;
  for (int i = 0; i < 4000 && !(handled && plain == 3); i++) nap(5);
  CHECK(handled && plain == 3, "the other threads");
  struct sigaction fault = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
  MUST(sigaction(SIGSEGV, &fault, NULL));
  astray();
  fail("astray came back");
}

int main(int argc, char **argv) {
  start(argc, argv);
  if (!(getauxval(AT_HWCAP) & 1ul << 32)) skip("this CPU or kernel has no guarded control stack");
  pthread_t thread;
  if (pthread_create(&thread, NULL, without, (void *)&plain)) fail("set-up: pthread_create");
  while (!plain) nap(1);
  // Inline, since no return may follow: the guarded stack begins empty.
  register long x0 asm("x0") = SET_STATUS, x1 asm("x1") = ENABLE | PUSH, x2 asm("x2") = 0, x3 asm("x3") = 0,
                x4 asm("x4") = 0, x8 asm("x8") = SYS_prctl;
  asm volatile("svc #0" : "+r"(x0) : "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x8) : "memory");
  if (x0) skip("the guarded control stack cannot be switched on");
  work();
}
