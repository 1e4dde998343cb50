// Every kind of mapping, with content that is checked byte for byte, and code that runs from it.
#include "jcrtest.h"
#include <sys/mman.h>
#include <sys/prctl.h>
#include <signal.h>

#define PAGE page_size
static size_t page_size;
#define SIZE (16 * PAGE)

struct region { char *at; size_t size; int protection; uint64_t seed; const char *what; };
static struct region regions[400];
static int count;

static char *map(size_t size, int protection, int flags, int fd, off_t offset) {
  return MUST(mmap(NULL, size, protection, flags, fd, offset));
}

// Remembers a region whose content is fill(seed); readable or not.
static char *keep(char *at, size_t size, int protection, uint64_t seed, const char *what) {
  fill(at, size, seed);
  MUST(mprotect(at, size, protection));
  regions[count++] = (struct region){at, size, protection, seed, what};
  return at;
}
static char *anonymous(int protection, int more_flags, const char *what) {
  char *at = map(SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | more_flags, -1, 0);
  return keep(at, SIZE, protection, mix(count), what);
}
static void advised(int advice, const char *what) {
  char *at = anonymous(PROT_READ | PROT_WRITE, 0, what);
  if (madvise(at, SIZE, advice)) fprintf(stderr, "%s: %s\n", what, strerror(errno));
}
static char *new_file(const char *name, size_t size, uint64_t seed, int *fd) {
  char *bytes = malloc(size + 8);
  fill(bytes, (size + 7) & ~7ul, seed);
  *fd = MUST(open(in_dir(name), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  CHECK(write(*fd, bytes, size) == (ssize_t)size, "write");
  free(bytes);
  return strdup(in_dir(name));
}

int main(int argc, char **argv) {
  start(argc, argv);
  page_size = (size_t)sysconf(_SC_PAGESIZE);
  const int RW = PROT_READ | PROT_WRITE;
  for (int p = 0; p < 8; p++) anonymous(p, 0, "anonymous of each protection");
  advised(MADV_DONTFORK, "MADV_DONTFORK");
  advised(MADV_DONTDUMP, "MADV_DONTDUMP");
  advised(MADV_SEQUENTIAL, "MADV_SEQUENTIAL");
  advised(MADV_RANDOM, "MADV_RANDOM");
  advised(MADV_HUGEPAGE, "MADV_HUGEPAGE");
  advised(MADV_NOHUGEPAGE, "MADV_NOHUGEPAGE");
  advised(MADV_MERGEABLE, "MADV_MERGEABLE");
  advised(MADV_WIPEONFORK, "MADV_WIPEONFORK");
  anonymous(RW, MAP_NORESERVE, "MAP_NORESERVE");
  anonymous(RW, MAP_STACK, "MAP_STACK");
  anonymous(RW, MAP_POPULATE, "MAP_POPULATE");
  char *grows = map(SIZE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0);
  keep(grows, SIZE, RW, 1000, "MAP_GROWSDOWN");
  char *named = anonymous(RW, 0, "named");
  prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, named, SIZE, "a name (of mine)");
  char *locked = anonymous(RW, 0, "mlock");
  if (mlock(locked, SIZE)) perror("mlock");
  char *onfault = map(SIZE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mlock2(onfault, SIZE, MLOCK_ONFAULT)) perror("mlock2");
  fill(onfault, PAGE, 2000);

  // Many small neighbours of alternating protection, with holes between some.
  char *comb = map(600 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (int i = 0; i < 200; i++) {
    keep(comb + 3 * i * PAGE, PAGE, i % 2 ? PROT_READ : RW, 3000 + i, "comb");
    if (i % 3) MUST(munmap(comb + (3 * i + 2) * PAGE, PAGE));
    else MUST(mprotect(comb + (3 * i + 2) * PAGE, PAGE, PROT_NONE));
  }
  // Sparse: one page in each 4 MiB written, one only read, the rest never touched.
  size_t big = 1ul << 32;
  char *sparse = map(big, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  MUST(madvise(sparse, big, MADV_NOHUGEPAGE));
  volatile char sink;
  for (size_t i = 0; i < big; i += 4 << 20) fill(sparse + i, PAGE, i), sink = sparse[i + (1 << 20)];
  (void)sink;
  // Written and then zero again: content zero, not a hole.
  char *zeroed = map(SIZE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memset(zeroed, 1, SIZE);
  memset(zeroed, 0, SIZE);
  char *dropped = map(SIZE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memset(dropped, 1, SIZE);
  MUST(madvise(dropped, SIZE, MADV_DONTNEED));

  int fd;
  new_file("private-clean", SIZE, 5000, &fd);
  char *clean = map(SIZE, PROT_READ, MAP_PRIVATE, fd, 0);
  close(fd);
  new_file("private-dirty", SIZE + 100, 5001, &fd);
  char *dirty = map(SIZE + PAGE, RW, MAP_PRIVATE, fd, 0);
  close(fd);
  fill(dirty + 3 * PAGE, PAGE, 5002);
  fill(dirty + SIZE + 1024, 2048, 5003);  // behind the end of the file, in its last page
  new_file("private-offset", SIZE, 5004, &fd);
  char *offset = map(4 * PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 8 * PAGE);
  close(fd);
  char *shared_path = new_file("shared", SIZE, 6000, &fd);
  char *shared = map(SIZE, RW, MAP_SHARED, fd, 0);
  char *shared_again = map(4 * PAGE, PROT_READ, MAP_SHARED, fd, 4 * PAGE);
  close(fd);
  fill(shared + 5 * PAGE, PAGE, 6001);
  char *shared_anonymous = map(SIZE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  fill(shared_anonymous, SIZE, 7000);
  char *alias = MUST(mremap(shared_anonymous, 0, SIZE, MREMAP_MAYMOVE));
  char *shared_none = map(SIZE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  fill(shared_none, SIZE, 7001);
  MUST(mprotect(shared_none, SIZE, PROT_NONE));

  // Code that jcr must bring back executable.
#ifdef __aarch64__
  uint32_t code[] = {0x91000400, 0xd65f03c0};  // add x0, x0, #1; ret
#else
  unsigned char code[] = {0x48, 0x8d, 0x47, 0x01, 0xc3};  // lea 1(%rdi), %rax; ret
#endif
  char *executable = map(PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memcpy(executable, code, sizeof code);
  __builtin___clear_cache(executable, executable + sizeof code);
  MUST(mprotect(executable, PAGE, PROT_READ | PROT_EXEC));
  long (*next)(long) = (long (*)(long))(intptr_t)executable;
  char *heap_start = sbrk(0), *heap = sbrk(1 << 20);
  CHECK(heap == heap_start, "sbrk");
  fill(heap, 1 << 20, 8000);
  char deep[200000];
  fill(deep, sizeof deep, 9000);
  // An address that was asked for, and one at the top of what mmap gives.
  char *low = MUST(mmap((void *)0x10000000, SIZE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
  fill(low, SIZE, 9500);

  ready();
  wait_for_check();

  CHECK(next(41) == 42, "code in an anonymous mapping");
  CHECK(sbrk(0) == heap + (1 << 20), "program break");
  CHECK(differs(heap, 1 << 20, 8000) == -1, "heap at %ld", differs(heap, 1 << 20, 8000));
  CHECK(differs(deep, sizeof deep, 9000) == -1, "stack");
  CHECK(differs(low, SIZE, 9500) == -1, "low mapping");
  CHECK(differs(onfault, PAGE, 2000) == -1, "mlock2");
  for (int i = 0; i < count; i++) {
    struct region *r = &regions[i];
    if (!(r->protection & PROT_READ)) MUST(mprotect(r->at, r->size, PROT_READ));
    long at = differs(r->at, r->size, r->seed);
    CHECK(at == -1, "region %d (%s, protection %d) at %ld", i, r->what, r->protection, at);
    if (!(r->protection & PROT_READ)) MUST(mprotect(r->at, r->size, r->protection));
  }
  for (size_t i = 0; i < big; i += 4 << 20) {
    CHECK(differs(sparse + i, PAGE, i) == -1, "sparse at %zx", i);
    CHECK(!sparse[i + (1 << 20)] && !sparse[i + (2 << 20)], "sparse hole at %zx", i);
  }
  for (size_t i = 0; i < SIZE; i++) CHECK(!zeroed[i] && !dropped[i], "zero page at %zu", i);
  CHECK(differs(clean, SIZE, 5000) == -1, "clean file mapping");
  CHECK(differs(dirty, 3 * PAGE, 5001) == -1, "private file mapping, clean part");
  CHECK(differs(dirty + 3 * PAGE, PAGE, 5002) == -1, "private file mapping, dirty page");
  CHECK(differs(dirty + 4 * PAGE, SIZE - 4 * PAGE, 5001 + 4 * PAGE) == -1, "private file mapping, behind it");
  CHECK(differs(dirty + SIZE + 1024, 2048, 5003) == -1, "private file mapping, behind the end");
  CHECK(differs(offset, 4 * PAGE, 5004 + 8 * PAGE) == -1, "file mapping at an offset");
  CHECK(differs(shared, 5 * PAGE, 6000) == -1 && differs(shared + 5 * PAGE, PAGE, 6001) == -1, "shared file mapping");
  fill(shared + 6 * PAGE, PAGE, 6002);
  CHECK(differs(shared_again + 2 * PAGE, PAGE, 6002) == -1, "two mappings of one file");
  fd = MUST(open(shared_path, O_RDONLY));
  char page[PAGE];
  CHECK(pread(fd, page, PAGE, 6 * PAGE) == (ssize_t)PAGE && differs(page, PAGE, 6002) == -1, "a write that reaches the file");
  CHECK(differs(shared_anonymous, SIZE, 7000) == -1 && differs(alias, SIZE, 7000) == -1, "shared anonymous memory");
  fill(alias, PAGE, 7002);
  CHECK(differs(shared_anonymous, PAGE, 7002) == -1, "two mappings of one shared memory");
  MUST(mprotect(shared_none, SIZE, PROT_READ));
  CHECK(differs(shared_none, SIZE, 7001) == -1, "shared memory without permissions");
  pid_t child = fork();
  if (!child) _exit(shared_anonymous[0] == alias[0] ? (alias[1] = 99, 0) : 1);
  CHECK(child > 0, "fork");
  while (kill(child, 0) == 0 && shared_anonymous[1] != 99) nap(1);
  CHECK(shared_anonymous[1] == 99, "memory shared with a child");
  pass();
}
