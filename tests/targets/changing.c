// Has a file open that somebody changes or moves between the dump and the restore.
//
//   changing DIR       reads and writes data/file; at the end says its size in `size`
#include "jcrtest.h"

int main(int argc, char **argv) {
  start(argc, argv);
  MUST(mkdir(in_dir("data"), 0777));
  int fd = MUST(open(in_dir("data/file"), O_RDWR | O_CREAT | O_EXCL, 0666));
  int folder = MUST(open(in_dir("data"), O_RDONLY | O_DIRECTORY));
  char content[100], text[100];
  fill(content, 96, 1);
  CHECK(write(fd, content, 96) == 96 && lseek(fd, 40, SEEK_SET) == 40, "set-up");
  ready();
  wait_for_check();
  CHECK(lseek(fd, 0, SEEK_CUR) == 40, "position");
  CHECK(read(fd, text, 16) == 16 && !memcmp(text, content + 40, 16), "content");
  struct stat st, by_name;
  MUST(fstat(fd, &st));
  MUST(fstatat(folder, "file", &by_name, 0));
  CHECK(st.st_ino == by_name.st_ino, "another file, or another folder");
  snprintf(text, sizeof text, "%ld", (long)st.st_size);
  put_file("size", text);
  pass();
}
