// Thousands of threads, each with a name and a number of its own, blocked in a futex.
//
//   crowd DIR COUNT
#include "jcrtest.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sys/prctl.h>

static volatile int started, go, done;
static volatile int *numbers;

static void *one(void *argument) {
  int i = (int)(long)argument;
  char name[16], now[16];
  snprintf(name, sizeof name, "crowd %d", i);
  prctl(PR_SET_NAME, name);
  numbers[i] = (int)syscall(SYS_gettid);
  __atomic_add_fetch(&started, 1, __ATOMIC_SEQ_CST);
  while (!go) syscall(SYS_futex, &go, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
  prctl(PR_GET_NAME, now);
  CHECK(!strcmp(name, now), "thread %d has the name %s", i, now);
  CHECK(numbers[i] == (int)syscall(SYS_gettid), "thread %d has another number", i);
  __atomic_add_fetch(&done, 1, __ATOMIC_SEQ_CST);
  return NULL;
}

int main(int argc, char **argv) {
  start(argc, argv);
  int count = argc > 2 ? atoi(argv[2]) : 10000;
  numbers = calloc(count, sizeof *numbers);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 64 * 1024);
  for (int i = 0; i < count; i++) {
    pthread_t thread;
    int error = pthread_create(&thread, &attributes, one, (void *)(long)i);
    if (error) skip("cannot create so many threads");
  }
  while (started < count) nap(5);
  nap(100);
  ready();
  wait_for_check();
  go = 1;
  syscall(SYS_futex, &go, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
  for (int i = 0; i < 60000 && done < count; i++) nap(1);
  CHECK(done == count, "%d of %d threads went on", done, count);
  pass();
}
