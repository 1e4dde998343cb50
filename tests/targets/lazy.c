// Much memory, every page of which it knows. When told to check it uses it in every way while it may
// still be on its way: threads touch it in random order, the kernel reads and writes it, parts are
// discarded, moved, unmapped, grown, and children inherit it.
//
//   lazy DIR MIB [touch]     touch: only one page after the other, each said in the file "touched"
#include "jcrtest.h"
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define PAGE 4096
#define THREADS 4

static char *memory;
static size_t pages, each;
static char *tail;  // never written: zero

static void expect(const char *at, size_t page, const char *what) {
  long bad = differs(at, PAGE, page * 1000003);
  CHECK(bad < 0, "%s: page %zu differs at byte %ld", what, page, bad);
}

static void expect_zero(const char *at, const char *what) {
  for (size_t i = 0; i < PAGE; i++) CHECK(at[i] == 0, "%s: not zero at byte %zu", what, i);
}

// Coprime steps visit every page of a part once, far from the one before.
static void scattered(size_t from, size_t count, const char *what) {
  size_t step = count * 5 / 8 | 1;
  while (count % step == 0 && step > 1) step += 2;
  for (size_t a = step, b = count; b;) {
    size_t rest = a % b;
    a = b, b = rest;
    if (!b && a != 1) step += 2, a = step, b = count;
  }
  for (size_t i = 0, at = 0; i < count; i++, at = (at + step) % count)
    expect(memory + (from + at) * PAGE, from + at, what);
}

// Parts 0 to 3: threads at the same time, two of them in the same part.
static void *toucher(void *which) {
  size_t part = (size_t)which % 3;
  scattered(part * each, each, "thread");
  return NULL;
}

// Part 4: the kernel is the first to touch it.
static void kernel_touches(size_t from) {
  int fd = MUST(open(in_dir("kernel"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  for (size_t i = 0; i < each; i += 2)
    CHECK(pwrite(fd, memory + (from + i) * PAGE, PAGE, (off_t)i * PAGE) == PAGE, "%s", strerror(errno));
  static char got[PAGE];
  for (size_t i = 0; i < each; i += 2) {
    CHECK(pread(fd, got, PAGE, (off_t)i * PAGE) == PAGE, "%s", strerror(errno));
    expect(got, from + i, "written by the kernel");
  }
  for (size_t i = 1; i + 2 < each; i += 2) {
    // Half of the page is replaced, the other half is what it was.
    CHECK(pread(fd, memory + (from + i) * PAGE, 2048, 0) == 2048, "%s", strerror(errno));
    uint64_t word = mix((from + i) * 1000003 + 2048);
    CHECK(!memcmp(memory + (from + i) * PAGE + 2048, &word, 8), "beside what the kernel read, page %zu", i);
    CHECK(!memcmp(memory + (from + i) * PAGE, memory + from * PAGE, 2048), "read by the kernel");
  }
  close(fd);
}

// Part 5: given up, page by page and in one go; then zero, and used anew.
static void discards(size_t from) {
  for (size_t i = 0; i < each / 2; i += 3) {
    MUST(madvise(memory + (from + i) * PAGE, PAGE, MADV_DONTNEED));
    expect_zero(memory + (from + i) * PAGE, "discarded");
    expect(memory + (from + i + 1) * PAGE, from + i + 1, "beside a discarded page");
  }
  MUST(madvise(memory + (from + each / 2) * PAGE, each / 4 * PAGE, MADV_DONTNEED));
  fill(memory + (from + each / 2) * PAGE, PAGE, 77);
  for (size_t i = 1; i < each / 4; i++) expect_zero(memory + (from + each / 2 + i) * PAGE, "discarded");
  CHECK(differs(memory + (from + each / 2) * PAGE, PAGE, 77) < 0, "written after it was discarded");
}

// Part 6: moved away, a little of it unmapped, and other memory in its place.
static void moves(size_t from) {
  size_t half = each / 2;
  char *place = MUST(mmap(NULL, (half + 64) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  char *moved = mremap(memory + from * PAGE, half * PAGE, (half + 64) * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place);
  CHECK(moved == place, "mremap: %s", strerror(errno));
  for (size_t i = half; i-- > 0;) expect(moved + i * PAGE, from + i, "moved");
  for (size_t i = half; i < half + 64; i++) expect_zero(moved + i * PAGE, "grown");
  size_t rest = from + half;
  MUST(munmap(memory + (rest + 8) * PAGE, 16 * PAGE));
  char *fresh = MUST(mmap(memory + (rest + 8) * PAGE, 16 * PAGE, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
  for (size_t i = 0; i < 16; i++) expect_zero(fresh + i * PAGE, "mapped anew");
  MUST(mprotect(memory + (rest + 32) * PAGE, 8 * PAGE, PROT_READ));
  for (size_t i = 24; i < half; i++) expect(memory + (rest + i) * PAGE, rest + i, "what stayed");
}

// Part 7: children, and theirs; each has it as it was at its birth.
static void inherits(size_t from) {
  pid_t child = MUST(fork());
  if (child == 0) {
    pid_t grandchild = MUST(fork());
    if (grandchild == 0) {
      scattered(from, each, "grandchild");
      expect_zero(tail + 5 * PAGE, "the grandchild's unwritten memory");
      _exit(0);
    }
    for (size_t i = 0; i < each; i += 7) memset(memory + (from + i) * PAGE, 1, PAGE);
    int status;
    MUST(waitpid(grandchild, &status, 0));
    CHECK(status == 0, "the grandchild ended with 0x%x", status);
    for (size_t i = 1; i < each; i++)
      if (i % 7) expect(memory + (from + i) * PAGE, from + i, "child");
    _exit(0);
  }
  MUST(madvise(memory + from * PAGE, 32 * PAGE, MADV_DONTNEED));
  for (size_t i = 0; i < 32; i++) expect_zero(memory + (from + i) * PAGE, "discarded beside a child");
  scattered(from + 32, each - 32, "parent");
  int status;
  MUST(waitpid(child, &status, 0));
  CHECK(status == 0, "the child ended with 0x%x", status);
}

int main(int argc, char **argv) {
  start(argc, argv);
  pages = (size_t)(argc > 2 ? atoi(argv[2]) : 64) * 256;
  each = pages / 8;
  memory = MUST(mmap(NULL, (pages + 1024) * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  tail = memory + pages * PAGE;
  for (size_t page = 0; page < pages; page++) fill(memory + page * PAGE, PAGE, page * 1000003);
  ready();
  wait_for_check();
  if (argc > 3) {
    for (size_t page = 0; page < pages; page += 64) {
      expect(memory + page * PAGE, page, "touched");
      char text[32];
      snprintf(text, sizeof text, "%zu\n", page);
      put_file("touched", text);
      while (access(in_dir("hold"), F_OK) == 0) nap(1);
    }
    pass();
  }
  pthread_t threads[THREADS];
  for (size_t i = 0; i < THREADS; i++)
    if (pthread_create(&threads[i], NULL, toucher, (void *)i)) fail("pthread_create");
  inherits(7 * each);
  moves(6 * each);
  discards(5 * each);
  kernel_touches(4 * each);
  for (size_t i = 0; i < 1024; i += 3) expect_zero(tail + i * PAGE, "never written");
  for (size_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  scattered(3 * each, each, "at last");
  pass();
}
