// What every target program shares. A target is its own test: it sets up a state, says it is ready,
// waits until it is told to check, verifies that state, and writes the verdict.
//
//   argv[1]     the folder of this run; everything below lies in it
//   ready       written by the target: its pid
//   check       written by the harness: verify now
//   result      written by the target: "PASS" or "FAIL: reason"
//
// Files and not pipes, because a pipe to the harness would be a descriptor whose other end lies
// outside the process, which jcr refuses.
#ifndef JCRTEST_H
#define JCRTEST_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// A whole number of pages of each kernel that the tests run on.
#ifdef __aarch64__
#define WHOLE_PAGE 16384
#else
#define WHOLE_PAGE 4096
#endif

static const char *jcr_dir = ".";

static inline const char *in_dir(const char *name) {
  static __thread char path[4096];
  snprintf(path, sizeof path, "%s/%s", jcr_dir, name);
  return path;
}

// Whole or absent: readers never see a partial file.
static inline void put_file(const char *name, const char *text) {
  char temporary[4096], final[4096];
  snprintf(temporary, sizeof temporary, "%s/.%s.%d", jcr_dir, name, (int)getpid());
  snprintf(final, sizeof final, "%s/%s", jcr_dir, name);
  int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) _exit(99);
  close(fd);
  if (rename(temporary, final)) _exit(99);
}

static inline _Noreturn void fail(const char *format, ...) {
  char reason[2048] = "FAIL: ";
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(reason + 6, sizeof reason - 6, format, arguments);
  va_end(arguments);
  put_file("result", reason);
  _exit(1);
}

static inline _Noreturn void pass(void) {
  put_file("result", "PASS");
  _exit(0);
}

// A facility this machine or user lacks: the harness reports the test as skipped.
static inline _Noreturn void skip(const char *reason) {
  char text[2048];
  snprintf(text, sizeof text, "SKIP: %s", reason);
  put_file("result", text);
  put_file("ready", "0");
  _exit(0);
}

#define CHECK(condition, ...)                                       \
  do {                                                              \
    if (!(condition)) {                                             \
      char message_[1024];                                          \
      snprintf(message_, sizeof message_, __VA_ARGS__);             \
      fail("%s:%d: %s: %s", __FILE__, __LINE__, #condition, message_); \
    }                                                               \
  } while (0)

// For set-up steps: a failure here is a defect of the test, not of jcr.
#define MUST(call)                                                              \
  ({                                                                            \
    __auto_type result_ = (call);                                               \
    if ((long)result_ == -1) fail("set-up: %s: %s", #call, strerror(errno));    \
    result_;                                                                    \
  })

static inline void start(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: %s DIR [argument ...]\n", argv[0]);
    exit(2);
  }
  jcr_dir = argv[1];
}

static inline void ready(void) {
  char text[32];
  snprintf(text, sizeof text, "%d\n", (int)getpid());
  put_file("ready", text);
}

static inline int told_to_check(void) { return access(in_dir("check"), F_OK) == 0; }

static inline void nap(long milliseconds) {
  struct timespec left = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  while (nanosleep(&left, &left) && errno == EINTR) {
  }
}

static inline int64_t now_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static inline void wait_for_check(void) {
  while (!told_to_check()) nap(1);
}

// Deterministic content that is different at every offset and seed.
static inline uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

static inline void fill(void *at, size_t size, uint64_t seed) {
  for (size_t i = 0; i + 8 <= size; i += 8) {
    uint64_t word = mix(seed + i);
    memcpy((char *)at + i, &word, 8);
  }
}

// The first offset that differs, or -1.
static inline long differs(const void *at, size_t size, uint64_t seed) {
  for (size_t i = 0; i + 8 <= size; i += 8) {
    uint64_t word = mix(seed + i);
    if (memcmp((const char *)at + i, &word, 8)) return (long)i;
  }
  return -1;
}
#endif
