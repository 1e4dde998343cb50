// A process of a given size that waits, for measurements.
//
//   bench DIR empty
//   bench DIR anonymous BYTES      half of it random, half of it text-like
//   bench DIR threads COUNT
#include "jcrtest.h"
#include <pthread.h>
#include <sys/mman.h>

static void *wait_for_ever(void *argument) {
  for (;;) pause();
  return argument;
}

static void text(char *to, size_t i) {
  snprintf(to, 64, "%-12u the quick brown fox jumps over %3hu dogs\n", (unsigned)(i / 64), (unsigned short)(mix(i) % 1000));
}

int main(int argc, char **argv) {
  start(argc, argv);
  const char *mode = argc > 2 ? argv[2] : "empty";
  size_t amount = argc > 3 ? strtoull(argv[3], NULL, 0) : 0, half = amount / 2;
  char *memory = NULL;
  if (!strcmp(mode, "anonymous")) {
    memory = MUST(mmap(NULL, amount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    fill(memory, half, 1);
    for (size_t i = half; i < amount; i += 64)
      text(memory + i, i);
  } else if (!strcmp(mode, "threads")) {
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    for (size_t i = 0; i < amount; i++) {
      pthread_t thread;
      CHECK(!pthread_create(&thread, &small, wait_for_ever, NULL), "thread %zu", i);
    }
  }
  nap(20);
  ready();
  while (!told_to_check()) nap(20);
  if (memory) {
    CHECK(differs(memory, half, 1) == -1, "random half at %ld", differs(memory, half, 1));
    char line[64];
    for (size_t i = half; i < amount; i += 64) {
      text(line, i);
      CHECK(!memcmp(line, memory + i, strlen(line)), "text at %zu", i);
    }
  }
  pass();
}
