// File locks of every kind: POSIX, open-file-description, flock. A child and other open files see them.
#include "jcrtest.h"
#include <sys/file.h>
#include <sys/wait.h>

static int lock(int fd, int command, int type, off_t from, off_t length) {
  struct flock l = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = from, .l_len = length};
  return fcntl(fd, command, &l);
}

// Who holds what on the range, as another process sees it: 0 nobody, else the pid, -1 for OFD locks.
static int holder(const char *name, off_t from, off_t length, int type) {
  int channel[2], answer = -2;
  MUST(pipe(channel));
  if (!MUST(fork())) {
    int fd = open(in_dir(name), O_RDWR);
    struct flock l = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = from, .l_len = length};
    fcntl(fd, F_GETLK, &l);
    answer = l.l_type == F_UNLCK ? 0 : l.l_pid;
    _exit(write(channel[1], &answer, sizeof answer) != sizeof answer);
  }
  wait(NULL);
  MUST(read(channel[0], &answer, sizeof answer));
  close(channel[0]), close(channel[1]);
  return answer;
}

int main(int argc, char **argv) {
  start(argc, argv);
  int posix = MUST(open(in_dir("posix"), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  int description = MUST(open(in_dir("description"), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  int whole = MUST(open(in_dir("flock"), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  int shared = MUST(open(in_dir("shared"), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  MUST(lock(posix, F_SETLK, F_WRLCK, 100, 50));
  MUST(lock(posix, F_SETLK, F_RDLCK, 1000, 0));
  MUST(lock(description, F_OFD_SETLK, F_WRLCK, 5, 10));
  MUST(flock(whole, LOCK_EX));
  MUST(flock(shared, LOCK_SH));
  ready();
  wait_for_check();
  CHECK(holder("posix", 120, 1, F_WRLCK) == getpid(), "POSIX write lock: %d", holder("posix", 120, 1, F_WRLCK));
  CHECK(holder("posix", 5000, 1, F_WRLCK) == getpid(), "POSIX read lock");
  CHECK(holder("posix", 5000, 1, F_RDLCK) == 0, "POSIX read lock is a write lock");
  CHECK(holder("posix", 200, 100, F_WRLCK) == 0, "a lock that nobody took");
  CHECK(holder("description", 6, 1, F_WRLCK) == -1, "OFD lock: %d", holder("description", 6, 1, F_WRLCK));
  int other = MUST(open(in_dir("flock"), O_RDWR));
  CHECK(flock(other, LOCK_SH | LOCK_NB) == -1 && errno == EWOULDBLOCK, "flock is not held");
  int second = MUST(open(in_dir("shared"), O_RDWR));
  CHECK(flock(second, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK, "shared flock is not held");
  CHECK(flock(second, LOCK_SH | LOCK_NB) == 0, "shared flock is exclusive");
  MUST(flock(whole, LOCK_UN));
  CHECK(flock(other, LOCK_EX | LOCK_NB) == 0, "flock of the wrong description");
  pass();
}
