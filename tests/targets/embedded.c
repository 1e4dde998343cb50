// Has files below data/ open and mapped, and runs from one, that are embedded into its image.
//
//   embedded DIR       data/written: 10000 bytes, open for reading and writing and mapped shared
//                      data/mapped: mapped private, with pages written and not; closed
//                      data/read: open for reading; a hole, then text
//                      data/program: what it runs
#include "jcrtest.h"
#include <sys/mman.h>

#define SIZE 10000
#define MAPPED (4 * WHOLE_PAGE)

// From a copy of the program, which is then a file of the process too.
static void run_from_copy(int argc, char **argv) {
  char path[512], text[65536];
  snprintf(path, sizeof path, "%s/data/program", argv[1]);
  char own[512] = "";
  MUST(readlink("/proc/self/exe", own, sizeof own - 1));
  if (!strcmp(own, path)) return;
  char folder[512];
  snprintf(folder, sizeof folder, "%s/data", argv[1]);
  MUST(mkdir(folder, 0777));
  int from = MUST(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  int to = MUST(open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755));
  ssize_t n;
  while ((n = read(from, text, sizeof text)) > 0) CHECK(write(to, text, n) == n, "copy");
  close(to);
  (void)argc;
  MUST(execv(path, argv));
}

int main(int argc, char **argv) {
  run_from_copy(argc, argv);
  start(argc, argv);
  static char content[MAPPED], text[MAPPED];
  fill(content, MAPPED, 7);
  int written = MUST(open(in_dir("data/written"), O_RDWR | O_CREAT | O_EXCL, 0640));
  MUST(fchmod(written, 0640));
  CHECK(write(written, content, SIZE) == SIZE && lseek(written, 500, SEEK_SET) == 500, "set-up");
  char *shared = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, written, 0);
  CHECK(shared != MAP_FAILED, "mmap: %m");
  shared[9000] = content[9000] = 'w';
  int file = MUST(open(in_dir("data/mapped"), O_RDWR | O_CREAT | O_EXCL, 0600));
  CHECK(write(file, content, MAPPED) == MAPPED, "set-up");
  char *private = mmap(NULL, MAPPED, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
  CHECK(private != MAP_FAILED, "mmap: %m");
  private[WHOLE_PAGE] = 'p';
  close(file);
  int making = MUST(open(in_dir("data/read"), O_WRONLY | O_CREAT | O_EXCL, 0444));
  CHECK(pwrite(making, "behind a hole", 13, 1 << 20) == 13, "set-up");
  close(making);
  int reading = MUST(open(in_dir("data/read"), O_RDONLY));
  MUST(lseek(reading, 1 << 20, SEEK_SET));
  ready();
  wait_for_check();
  CHECK(lseek(written, 0, SEEK_CUR) == 500, "position");
  CHECK(pread(written, text, SIZE, 0) == SIZE && !memcmp(text, content, SIZE), "content");
  CHECK(!memcmp(shared, content, SIZE), "shared mapping");
  struct stat st;
  MUST(fstat(written, &st));
  CHECK(st.st_size == SIZE && (st.st_mode & 07777) == 0640, "size or mode");
  CHECK(private[WHOLE_PAGE] == 'p', "private page");
  private[WHOLE_PAGE] = content[WHOLE_PAGE];
  CHECK(!memcmp(private, content, MAPPED), "private mapping");
  CHECK(read(reading, text, 100) == 13 && !memcmp(text, "behind a hole", 13), "behind the hole");
  CHECK(pread(reading, text, 4096, 0) == 4096 && !text[0] && !text[4095], "hole");
  MUST(fstat(reading, &st));
  CHECK(st.st_blocks < 256 && (st.st_mode & 07777) == 0444, "hole filled, or mode");
  // The mapping and the descriptor are of one file.
  memcpy(shared, "checked", 7);
  CHECK(pread(written, text, 7, 0) == 7 && !memcmp(text, "checked", 7), "two files");
  pass();
}
