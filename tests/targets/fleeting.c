// Files that exist for a moment: made, mapped, removed, unmapped, over and over. Whoever lists the
// mappings meets each of these states, and the change from one to the next.
#include "jcrtest.h"
#include <pthread.h>
#include <sys/mman.h>

enum { MAPPINGS = 16, SIZE = 16384 };

static volatile int stop;

static void *work(void *argument) {
  uint64_t seed = (uintptr_t)argument;
  while (!stop) {
    char *at[MAPPINGS], name[32];
    for (int i = 0; i < MAPPINGS; i++) {
      snprintf(name, sizeof name, "fleeting.%llu.%d", (unsigned long long)seed, i);
      int fd = MUST(open(in_dir(name), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
      MUST(ftruncate(fd, SIZE));
      at[i] = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, i % 2 ? MAP_SHARED : MAP_PRIVATE, fd, 0);
      CHECK(at[i] != MAP_FAILED, "%s", strerror(errno));
      close(fd);
      fill(at[i], SIZE, seed + i);
    }
    for (int i = 0; i < MAPPINGS; i++) {
      snprintf(name, sizeof name, "fleeting.%llu.%d", (unsigned long long)seed, i);
      CHECK(unlink(in_dir(name)) == 0, "%s: %s", name, strerror(errno));
    }
    for (int i = 0; i < MAPPINGS; i++) {
      CHECK(differs(at[i], SIZE, seed + i) == -1, "mapping %d differs at %ld", i,
            differs(at[i], SIZE, seed + i));
      CHECK(munmap(at[i], SIZE) == 0, "%s", strerror(errno));
    }
  }
  return NULL;
}

int main(int argc, char **argv) {
  start(argc, argv);
  pthread_t threads[2];
  for (uintptr_t i = 0; i < 2; i++) MUST(-pthread_create(&threads[i], NULL, work, (void *)(i * 1000)));
  ready();
  wait_for_check();
  stop = 1;
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  pass();
}
