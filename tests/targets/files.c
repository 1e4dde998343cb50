// Descriptors of files: offsets, flags, shared and separate open files, folders, O_PATH, unlinked.
#include "jcrtest.h"
#include <dirent.h>
#include <signal.h>

static int make(const char *name, int flags, const char *text) {
  int fd = MUST(open(in_dir(name), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640));
  MUST(write(fd, text, strlen(text)));
  close(fd);
  return MUST(open(in_dir(name), flags));
}
static off_t at(int fd) { return lseek(fd, 0, SEEK_CUR); }
static void reads(int fd, const char *wanted, const char *what) {
  char got[64] = {0};
  ssize_t n = read(fd, got, strlen(wanted));
  CHECK(n == (ssize_t)strlen(wanted) && !strcmp(got, wanted), "%s: read %zd \"%s\", want \"%s\"", what, n, got, wanted);
}

int main(int argc, char **argv) {
  start(argc, argv);
  int plain = make("plain", O_RDONLY, "0123456789"), shared = dup(plain), separate = MUST(open(in_dir("plain"), O_RDONLY | O_CLOEXEC));
  MUST(lseek(plain, 4, SEEK_SET));
  MUST(lseek(separate, 7, SEEK_SET));
  int append = make("append", O_WRONLY | O_APPEND, "start,"), both = make("both", O_RDWR | O_NONBLOCK | O_SYNC | O_NOATIME, "abcdefgh");
  MUST(lseek(both, 2, SEEK_SET));
  int far = fcntl(both, F_DUPFD, 500), far_cloexec = fcntl(both, F_DUPFD_CLOEXEC, 600);
  int beyond = make("beyond", O_RDWR, "x");
  MUST(lseek(beyond, 100000, SEEK_SET));
  int folder = MUST(open(jcr_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  int path = MUST(open(in_dir("plain"), O_PATH | O_CLOEXEC)), path_folder = MUST(open(jcr_dir, O_PATH | O_DIRECTORY));
  int null = MUST(open("/dev/null", O_RDWR)), zero = MUST(open("/dev/zero", O_RDONLY | O_CLOEXEC)), full = MUST(open("/dev/full", O_WRONLY)),
      random = MUST(open("/dev/urandom", O_RDONLY));
  int unlinked = make("unlinked", O_RDWR, "gone but here"), unlinked_again = MUST(open(in_dir("unlinked"), O_RDONLY));
  MUST(lseek(unlinked, 5, SEEK_SET));
  MUST(unlink(in_dir("unlinked")));
  int renamed = make("before", O_RDWR, "renamed");
  char new_name[4096];
  snprintf(new_name, sizeof new_name, "%s", in_dir("after"));
  MUST(rename(in_dir("before"), new_name));
  int spaced = make("a name \xc3\xa4\n\"", O_RDONLY, "odd name");
  int big_hole = MUST(open(in_dir("hole"), O_RDWR | O_CREAT, 0600));
  MUST(ftruncate(big_hole, 1ll << 33));
  MUST(pwrite(big_hole, "end", 3, (1ll << 33) - 3));
  MUST(lseek(big_hole, (1ll << 33) - 3, SEEK_SET));
  int owned = make("owned", O_RDONLY, "owner");
  MUST(fcntl(owned, F_SETOWN, getpid()));
  MUST(fcntl(owned, F_SETSIG, SIGRTMIN));
  ready();
  wait_for_check();

  CHECK(at(plain) == 4 && at(shared) == 4 && at(separate) == 7, "offsets %ld %ld %ld", at(plain), at(shared), at(separate));
  reads(plain, "45", "plain");
  CHECK(at(shared) == 6 && at(separate) == 7, "a shared offset: %ld, a separate one: %ld", at(shared), at(separate));
  reads(separate, "789", "separate");
  CHECK(!(fcntl(plain, F_GETFD) & FD_CLOEXEC) && fcntl(separate, F_GETFD) & FD_CLOEXEC, "close-on-exec");
  MUST(write(append, "end", 3));
  int again = MUST(open(in_dir("append"), O_RDONLY));
  reads(again, "start,end", "append");
  CHECK((fcntl(append, F_GETFL) & (O_ACCMODE | O_APPEND)) == (O_WRONLY | O_APPEND), "flags %x", fcntl(append, F_GETFL));
  int flags = O_RDWR | O_NONBLOCK | O_SYNC | O_NOATIME;
  CHECK((fcntl(both, F_GETFL) & (flags | O_ACCMODE)) == flags, "flags %x", fcntl(both, F_GETFL));
  MUST(write(far, "CD", 2));
  CHECK(at(both) == 4 && at(far_cloexec) == 4, "a far duplicate");
  CHECK(!(fcntl(far, F_GETFD) & FD_CLOEXEC) && fcntl(far_cloexec, F_GETFD) & FD_CLOEXEC, "close-on-exec of a duplicate");
  CHECK(at(beyond) == 100000, "offset behind the end");
  DIR *d = fdopendir(folder);
  int seen = 0;
  for (struct dirent *e; (e = readdir(d));) seen += !strcmp(e->d_name, "plain") || !strcmp(e->d_name, "after");
  CHECK(seen == 2, "folder");
  CHECK(fcntl(path, F_GETFL) & O_PATH && fcntl(path_folder, F_GETFL) & O_PATH, "O_PATH");
  CHECK(faccessat(path_folder, "plain", F_OK, 0) == 0, "a path below an O_PATH folder");
  struct stat a, b;
  MUST(fstat(path, &a));
  MUST(stat(in_dir("plain"), &b));
  CHECK(a.st_ino == b.st_ino, "O_PATH");
  char byte = 1;
  CHECK(write(null, "x", 1) == 1 && read(null, &byte, 1) == 0 && read(zero, &byte, 1) == 1 && byte == 0 && read(random, &byte, 1) == 1, "devices");
  CHECK(write(full, "x", 1) == -1 && errno == ENOSPC, "/dev/full");
  CHECK(at(unlinked) == 5, "offset of an unlinked file");
  reads(unlinked, "but here", "unlinked");
  reads(unlinked_again, "gone", "unlinked, opened twice");
  MUST(pwrite(unlinked, "GONE", 4, 0));
  char text[5] = {0};
  MUST(pread(unlinked_again, text, 4, 0));
  CHECK(!strcmp(text, "GONE"), "one unlinked file behind two descriptors: %s", text);
  MUST(fstat(unlinked, &a));
  CHECK(a.st_nlink == 0 && access(in_dir("unlinked"), F_OK) == -1, "links %d", (int)a.st_nlink);
  reads(renamed, "ren", "renamed");
  reads(spaced, "odd", "a name with a newline");
  reads(big_hole, "end", "an offset behind 4 GiB");
  CHECK(fcntl(owned, F_GETOWN) == getpid() && fcntl(owned, F_GETSIG) == SIGRTMIN, "owner %d signal %d", fcntl(owned, F_GETOWN), fcntl(owned, F_GETSIG));
  pass();
}
