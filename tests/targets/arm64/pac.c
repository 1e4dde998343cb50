// Every thread has keys of its own and is deep in calls whose return addresses are signed with them; one has a key
// switched off. A return with other keys than those it was signed with faults.
#include "../jcrtest.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/auxv.h>
#include <sys/prctl.h>

enum { THREADS = 6 };
static atomic_int set_up, checked;
static uint64_t firsts[THREADS];

#define SIGN(instruction, value, modifier)                                                       \
  ({                                                                                             \
    uint64_t signed_ = value;                                                                    \
    asm(".arch armv8.3-a\n" instruction " %0, %1" : "+r"(signed_) : "r"((uint64_t)(modifier)));  \
    signed_;                                                                                     \
  })
// Of each key what it makes of some values: with 52-bit addresses a signature has three bits only.
static void keys(uint64_t out[5]) {
  uint64_t address = (uint64_t)&set_up, generic;
  memset(out, 0, 5 * sizeof *out);
  for (uint64_t i = 0; i < 60; i++) {
    out[0] = mix(out[0] ^ SIGN("pacia", address, i));
    out[1] = mix(out[1] ^ SIGN("pacib", address, i));
    out[2] = mix(out[2] ^ SIGN("pacda", address, i));
    out[3] = mix(out[3] ^ SIGN("pacdb", address, i));
    asm(".arch armv8.3-a\npacga %0, %1, %2" : "=r"(generic) : "r"(address), "r"(i));
    out[4] = mix(out[4] ^ generic);
  }
}

// Waits at the bottom of calls with signed return addresses.
__attribute__((noinline, target("branch-protection=pac-ret+leaf"))) static int deep(int depth, int thread) {
  if (depth > 0) {
    int below = deep(depth - 1, thread);
    asm volatile("" ::: "memory");
    return below + 1;
  }
  set_up++;
  while (!told_to_check()) nap(2);
  return 0;
}

// Never returns: the frames below were signed with the keys of before.
static _Noreturn void body(int thread) {
  if (thread > 0) {
    if (prctl(PR_PAC_RESET_KEYS, 0, 0, 0, 0)) fail("set-up: PR_PAC_RESET_KEYS");
    if (thread == 2 && prctl(60 /* PR_PAC_SET_ENABLED_KEYS */, PR_PAC_APDBKEY, 0, 0, 0)) fail("set-up: enabled keys");
  }
  uint64_t before[5], after[5];
  keys(before);
  firsts[thread] = before[0];
  for (uint64_t i = 0; thread == 2 && i < 60; i++)
    CHECK(SIGN("pacdb", (uint64_t)&set_up, i) == (uint64_t)&set_up, "set-up: a key that is off signs");
  long enabled = prctl(61 /* PR_PAC_GET_ENABLED_KEYS */, 0, 0, 0, 0);
  int depth = deep(20, thread);
  CHECK(depth == 20, "thread %d returned from %d calls", thread, depth);
  keys(after);
  for (int i = 0; i < 5; i++)
    CHECK(after[i] == before[i], "thread %d: key %d signs %llx, before %llx", thread, i,
          (unsigned long long)after[i], (unsigned long long)before[i]);
  CHECK(prctl(61, 0, 0, 0, 0) == enabled, "thread %d: enabled keys", thread);
  checked++;
  if (thread > 0) for (;;) nap(1000);
  while (checked < THREADS) nap(1);
  pass();
}
static void *thread_body(void *argument) { body((int)(intptr_t)argument); }

int main(int argc, char **argv) {
  start(argc, argv);
  if (!(getauxval(AT_HWCAP) & HWCAP_PACA)) skip("this CPU has no pointer authentication");
  for (intptr_t i = 1; i < THREADS; i++) {
    pthread_t thread;
    CHECK(!pthread_create(&thread, NULL, thread_body, (void *)i), "thread");
  }
  while (set_up < THREADS - 1) nap(1);
  for (int i = 2; i < THREADS; i++) CHECK(firsts[i] != firsts[1], "set-up: two threads have one key");
  ready();
  body(0);
}
