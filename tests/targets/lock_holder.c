// Holds DIR/flock.lock by flock(2) and DIR/posix.lock by fcntl(2) until DIR/release appears.
#include "jcrtest.h"
#include <sys/file.h>

int main(int argc, char **argv) {
  start(argc, argv);
  int a = MUST(open(in_dir("flock.lock"), O_RDWR | O_CREAT, 0666));
  MUST(flock(a, LOCK_EX));
  int b = MUST(open(in_dir("posix.lock"), O_RDWR | O_CREAT, 0666));
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  MUST(fcntl(b, F_SETLK, &lock));
  put_file("locked", "");
  while (access(in_dir("release"), F_OK)) nap(1);
  return 0;
}
