// The simplest program: one thread, a value that only ever grows by one, and a record of it.
#include "jcrtest.h"

static uint64_t history[4096];

int main(int argc, char **argv) {
  start(argc, argv);
  pid_t pid = getpid();
  uint64_t *heap = malloc(1 << 20);
  fill(heap, 1 << 20, 7);
  ready();
  uint64_t n = 0;
  for (; !told_to_check(); n++) {
    history[n % 4096] = n;
    nap(1);
  }
  CHECK(getpid() == pid, "pid %d", (int)getpid());
  for (uint64_t i = n > 4096 ? n - 4096 : 0; i < n; i++)
    CHECK(history[i % 4096] == i, "entry %llu is %llu", (unsigned long long)i,
          (unsigned long long)history[i % 4096]);
  CHECK(differs(heap, 1 << 20, 7) == -1, "heap differs at %ld", differs(heap, 1 << 20, 7));
  pass();
}
