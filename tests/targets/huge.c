// Memory of huge TLB pages, and NUMA policies.
//
//   huge DIR private|shared|memfd|policies
#include "jcrtest.h"
#include <linux/mempolicy.h>
#include <pthread.h>
#include <sys/mman.h>

static size_t huge_size(void) {
  FILE *file = fopen("/proc/meminfo", "r");
  char line[256];
  unsigned long kb = 0;
  while (file && fgets(line, sizeof line, file)) sscanf(line, "Hugepagesize: %lu kB", &kb);
  if (file) fclose(file);
  if (!kb) skip("no huge TLB pages");
  return kb << 10;
}
// Size of the pages of the mapping at `at`, of its head line `head`.
static size_t page_size(const void *at, char *head) {
  FILE *smaps = fopen("/proc/self/smaps", "r");
  char line[512];
  unsigned long from, to, kb = 0;
  int inside = 0;
  while (fgets(line, sizeof line, smaps)) {
    if (sscanf(line, "%lx-%lx ", &from, &to) == 2) {
      inside = from <= (unsigned long)at && (unsigned long)at < to;
      if (inside) strcpy(head, line);
    }
    if (inside && sscanf(line, "KernelPageSize: %lu", &kb) == 1) break;
  }
  fclose(smaps);
  return kb << 10;
}
static char *map(size_t size, int flags, int fd) {
  char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (at == MAP_FAILED) skip("no free huge TLB pages (vm.nr_hugepages)");
  return at;
}

static void private_(void) {
  size_t size = huge_size();
  char *at = map(4 * size, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1), head[512];
  fill(at, size, 1), fill(at + 2 * size, size, 2);
  MUST(mprotect(at + 2 * size, size, PROT_READ));
  ready(), wait_for_check();
  CHECK(page_size(at, head) == size && page_size(at + 2 * size, head) == size, "pages of %zu bytes", page_size(at, head));
  CHECK(differs(at, size, 1) < 0 && differs(at + 2 * size, size, 2) < 0, "content");
  at[size] = 'x', at[3 * size] = 'y';
  CHECK(at[size + 1] == 0 && at[3 * size + 1] == 0, "zeros");
  CHECK(mprotect(at + 2 * size, size, PROT_READ | PROT_WRITE) == 0 && (at[2 * size] = 1), "write again");
  pass();
}
static void shared(void) {
  size_t size = huge_size();
  char *at = map(3 * size, MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1), head[512];
  fill(at, size / 2, 3), fill(at + 2 * size, size, 4);
  // Its second page again, elsewhere.
  char *second = mremap(at + size, 0, size, MREMAP_MAYMOVE);
  ready(), wait_for_check();
  CHECK(page_size(at, head) == size && strstr(head, "rw-s"), "%s", head);
  CHECK(differs(at, size / 2, 3) < 0 && differs(at + 2 * size, size, 4) < 0 && at[size - 1] == 0, "content");
  at[size + 5] = 'z';
  if (second != MAP_FAILED) CHECK(second[5] == 'z', "not one memory");
  pass();
}
static void memfd(void) {
  size_t size = huge_size();
  int fd = memfd_create("huge", MFD_HUGETLB | MFD_ALLOW_SEALING | MFD_CLOEXEC);
  if (fd < 0) skip("no MFD_HUGETLB");
  MUST(ftruncate(fd, 3 * size));
  char *at = map(2 * size, MAP_SHARED, fd), *own = map(size, MAP_PRIVATE, fd), head[512];
  fill(at, size, 5);
  MUST(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
  fill(own, 1000, 6);
  ready(), wait_for_check();
  CHECK(page_size(at, head) == size && strstr(head, "/memfd:huge"), "%s", head);
  CHECK(differs(at, size, 5) < 0, "content of the file");
  CHECK(differs(own, 1000, 6) < 0, "content of the copy");
  CHECK(own[1000] == at[1000], "the rest of the copy");
  char byte;
  CHECK(pread(fd, &byte, 1, 77) == 1 && byte == at[77], "read");
  CHECK(lseek(fd, 0, SEEK_END) == (off_t)(3 * size), "size");
  CHECK(fcntl(fd, F_GET_SEALS) == (F_SEAL_SHRINK | F_SEAL_GROW), "seals %x", fcntl(fd, F_GET_SEALS));
  CHECK(ftruncate(fd, size) == -1 && errno == EPERM, "not sealed");
  pass();
}

static int mode_of(const void *at, unsigned long *nodes) {
  int mode = -1;
  unsigned long mask[16] = {0};
  MUST(syscall(SYS_get_mempolicy, &mode, mask, 1025, at, at ? MPOL_F_ADDR : 0));
  *nodes = mask[0];
  return mode;
}
static pthread_barrier_t barrier;
static unsigned long node = 1;
static void *thread(void *unused) {
  unsigned long nodes;
  MUST(syscall(SYS_set_mempolicy, MPOL_PREFERRED, &node, 64));
  pthread_barrier_wait(&barrier), pthread_barrier_wait(&barrier);
  int mode = mode_of(NULL, &nodes);
  CHECK(mode == MPOL_PREFERRED && nodes == 1, "policy %d of the thread, nodes %lx", mode, nodes);
  return unused;
}
static void policies(void) {
  char *at = map(8 * WHOLE_PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1), *memory = map(2 * WHOLE_PAGE, MAP_SHARED | MAP_ANONYMOUS, -1);
  unsigned long nodes;
  if (syscall(SYS_get_mempolicy, NULL, NULL, 0, NULL, 0)) skip("a kernel without NUMA");
  MUST(syscall(SYS_mbind, at + 2 * WHOLE_PAGE, 2 * WHOLE_PAGE, MPOL_BIND | MPOL_F_STATIC_NODES, &node, 64, 0));
  MUST(syscall(SYS_mbind, at + 5 * WHOLE_PAGE, WHOLE_PAGE, MPOL_INTERLEAVE, &node, 64, 0));
  MUST(syscall(SYS_mbind, memory, WHOLE_PAGE, MPOL_LOCAL, NULL, 0, 0));
  fill(at, 8 * WHOLE_PAGE, 7);
  pthread_t other;
  pthread_barrier_init(&barrier, NULL, 2);
  pthread_create(&other, NULL, thread, NULL);
  MUST(syscall(SYS_set_mempolicy, MPOL_INTERLEAVE, &node, 64));
  pthread_barrier_wait(&barrier);
  ready(), wait_for_check();
  pthread_barrier_wait(&barrier);
  CHECK(differs(at, 8 * WHOLE_PAGE, 7) < 0, "content");
  int expected[8] = {0, 0, MPOL_BIND | MPOL_F_STATIC_NODES, MPOL_BIND | MPOL_F_STATIC_NODES, 0, MPOL_INTERLEAVE, 0, 0};
  for (int i = 0; i < 8; i++) {
    int mode = mode_of(at + i * WHOLE_PAGE, &nodes);
    CHECK(mode == expected[i] && nodes == !!mode, "page %d: policy %d, nodes %lx", i, mode, nodes);
  }
  CHECK(mode_of(memory, &nodes) == MPOL_LOCAL, "shared memory: %d", mode_of(memory, &nodes));
  CHECK(mode_of(memory + WHOLE_PAGE, &nodes) == 0, "the rest of it: %d", mode_of(memory + WHOLE_PAGE, &nodes));
  CHECK(mode_of(NULL, &nodes) == MPOL_INTERLEAVE && nodes == 1, "policy of the leader");
  pthread_join(other, NULL);
  pass();
}

int main(int argc, char **argv) {
  start(argc, argv);
  const char *part = argc > 2 ? argv[2] : "";
  if (!strcmp(part, "private")) private_();
  if (!strcmp(part, "shared")) shared();
  if (!strcmp(part, "memfd")) memfd();
  if (!strcmp(part, "policies")) policies();
  fail("no part %s", part);
}
