// Changes random memory all the time, in every way that dirty tracking has to see: words written,
// pages zeroed, discarded, mapped anew, moved, protected, a heap that grows and shrinks. The XOR of
// every page's words is kept beside it, so that one stale page is found at the end.
//
//   dirty DIR [MIB [OPERATIONS_PER_MILLISECOND [plain]]]
//
// With plain it only writes words to random pages of one arena, as many in every second as it is told to.
#include "jcrtest.h"
#include <sys/mman.h>

#define PAGE WHOLE_PAGE
#define WORDS (PAGE / 8)
#define MOVED_PAGES 64

static uint64_t *arena, *moved, *fresh, *home;
static uint64_t *sums, moved_sums[MOVED_PAGES], fresh_sums[MOVED_PAGES];
static size_t pages;
static uint64_t state, heap_sum;
static uint64_t *heap;
static size_t heap_pages;

static uint64_t roll(void) { return state = mix(state); }

static void put(uint64_t *base, uint64_t *base_sums, size_t page) {
  uint64_t *word = base + page * WORDS + roll() % WORDS, value = roll();
  base_sums[page] ^= *word ^ value;
  *word = value;
}

static void *map(size_t n, void *at) {
  void *p = mmap(at, n * PAGE, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED : 0), -1, 0);
  if (p == MAP_FAILED) fail("mmap: %s", strerror(errno));
  return p;
}

static void step(void) {
  size_t page = roll() % pages, few = roll() % MOVED_PAGES;
  switch (roll() % 256) {
    case 0:  // becomes zero
      memset(arena + page * WORDS, 0, PAGE);
      sums[page] = 0;
      break;
    case 1:  // is given back
      madvise(arena + page * WORDS, PAGE, MADV_DONTNEED);
      sums[page] = 0;
      break;
    case 2:  // is another mapping at the same place
      map(1, arena + page * WORDS);
      sums[page] = 0;
      break;
    case 3: {  // moves away; or back, where it joins the arena again
      void *place = moved != home ? home : mmap(NULL, MOVED_PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      void *from = moved;
      moved = mremap(from, MOVED_PAGES * PAGE, MOVED_PAGES * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place);
      if (moved == MAP_FAILED) fail("mremap: %s", strerror(errno));
      if (from == home && mmap(home, MOVED_PAGES * PAGE, PROT_NONE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != home)
        fail("mmap: %s", strerror(errno));
      break;
    }
    case 4:
      munmap(fresh, MOVED_PAGES * PAGE);
      fresh = map(MOVED_PAGES, NULL);
      memset(fresh_sums, 0, sizeof fresh_sums);
      break;
    case 5:  // one page is read-only for a moment: the mapping is split and joined
      mprotect(arena + page * WORDS, PAGE, PROT_READ);
      mprotect(arena + page * WORDS, PAGE, PROT_READ | PROT_WRITE);
      break;
    case 6:  // swapped with a page of the moving region, by way of mremap
      for (size_t i = 0; i < WORDS; i++) {
        uint64_t word = arena[page * WORDS + i];
        arena[page * WORDS + i] = moved[few * WORDS + i];
        moved[few * WORDS + i] = word;
      }
      { uint64_t sum = sums[page]; sums[page] = moved_sums[few]; moved_sums[few] = sum; }
      break;
    case 7:  // the heap grows or shrinks
      if (heap_pages < 256) {
        if (sbrk(PAGE) == (void *)-1) fail("sbrk: %s", strerror(errno));
        heap_pages++;
      } else {
        for (size_t i = 128 * WORDS; i < heap_pages * WORDS; i++) heap_sum ^= heap[i];
        if (sbrk(-(long)(heap_pages - 128) * PAGE) == (void *)-1) fail("sbrk: %s", strerror(errno));
        heap_pages = 128;
      }
      break;
    case 8:  // the kernel writes
      {
        int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
        uint64_t *at = arena + page * WORDS;
        uint64_t before = *at;
        if (read(fd, at, 8) != 8) fail("read: %s", strerror(errno));
        sums[page] ^= before ^ *at;
        close(fd);
      }
      break;
    default:
      put(arena, sums, page);
      put(moved, moved_sums, few);
      put(fresh, fresh_sums, few);
      if (heap_pages) {
        uint64_t *word = heap + roll() % (heap_pages * WORDS), value = roll();
        heap_sum ^= *word ^ value;
        *word = value;
      }
  }
}

// What it is behind by, on a busy host, it makes up for; but not for having been stopped.
static void write_plainly(long rate) {
  int64_t before = now_ns(CLOCK_MONOTONIC);
  while (!told_to_check()) {
    nap(1);
    int64_t now = now_ns(CLOCK_MONOTONIC), due = (now - before) * rate / 1000000;
    before = now;
    for (int64_t i = 0; i < due && i < 10 * rate; i++) put(arena, sums, roll() % pages);
  }
}

static void check(const char *what, uint64_t *base, uint64_t *base_sums, size_t n) {
  for (size_t page = 0; page < n; page++) {
    uint64_t sum = 0;
    for (size_t i = 0; i < WORDS; i++) sum ^= base[page * WORDS + i];
    CHECK(sum == base_sums[page], "%s page %zu of %zu at %p", what, page, n,
          (void *)(base + page * WORDS));
  }
}

int main(int argc, char **argv) {
  start(argc, argv);
  pages = (size_t)(argc > 2 ? atoi(argv[2]) : 16) * 256;
  long rate = argc > 3 ? atol(argv[3]) : 200;
  state = 42;
  moved = home = map(MOVED_PAGES + pages, NULL);
  arena = home + MOVED_PAGES * WORDS;
  sums = map(pages * 8 / PAGE + 1, NULL);
  fresh = map(MOVED_PAGES, NULL);
  heap = sbrk(0);
  heap = (uint64_t *)(((uintptr_t)heap + PAGE - 1) / PAGE * PAGE);
  if (brk(heap)) fail("brk: %s", strerror(errno));
  for (size_t page = 0; page < pages; page++) put(arena, sums, page);
  ready();
  if (argc > 4) write_plainly(rate);
  while (!told_to_check()) {
    for (long i = 0; i < rate; i++) step();
    nap(1);
  }
  check("arena", arena, sums, pages);
  check("moved", moved, moved_sums, MOVED_PAGES);
  check("fresh", fresh, fresh_sums, MOVED_PAGES);
  uint64_t sum = 0;
  for (size_t i = 0; i < heap_pages * WORDS; i++) sum ^= heap[i];
  CHECK(sum == heap_sum, "heap of %zu pages", heap_pages);
  pass();
}
