// A pseudo-terminal whose both ends the process holds: settings, size, queued input and output.
//
//   pty DIR quiet|queued|many     queued: with bytes that nobody has read; many: 300 of them, the
//                                 higher numbers first
#include "jcrtest.h"
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

enum { MANY = 300 };
static void many(void) {
  int numbers[MANY];
  for (int i = 0; i < MANY; i++) {
    int fd = MUST(posix_openpt(O_RDWR | O_NOCTTY));
    MUST(unlockpt(fd));
    MUST(ioctl(fd, TIOCGPTN, &numbers[i]));
    MUST(ioctl(fd, TIOCSWINSZ, &(struct winsize){i + 1, 80, 0, 0}));
    MUST(dup2(fd, 900 - i));
    close(fd);
  }
  ready();
  wait_for_check();
  for (int i = 0; i < MANY; i++) {
    int number = -1;
    struct winsize size = {0};
    MUST(ioctl(900 - i, TIOCGPTN, &number));
    MUST(ioctl(900 - i, TIOCGWINSZ, &size));
    CHECK(number == numbers[i] && size.ws_row == i + 1, "%d of %d rows, was %d", number, size.ws_row, numbers[i]);
  }
  pass();
}

int main(int argc, char **argv) {
  start(argc, argv);
  int queued = argc > 2 && !strcmp(argv[2], "queued");
  if (argc > 2 && !strcmp(argv[2], "many")) many();
  int master, slave, raw_master, raw_slave;
  MUST(openpty(&master, &slave, NULL, NULL, &(struct winsize){33, 122, 7, 8}));
  MUST(openpty(&raw_master, &raw_slave, NULL, NULL, NULL));
  MUST(fcntl(master, F_SETFD, FD_CLOEXEC));
  MUST(fcntl(raw_master, F_SETFL, O_RDWR | O_NONBLOCK));
  struct termios want, raw_want, now;
  MUST(tcgetattr(slave, &want));
  want.c_lflag &= ~(tcflag_t)ECHO;
  want.c_cc[VINTR] = 7;
  MUST(tcsetattr(slave, TCSANOW, &want));
  MUST(tcgetattr(raw_slave, &raw_want));
  cfmakeraw(&raw_want);
  cfsetspeed(&raw_want, B9600);
  MUST(tcsetattr(raw_slave, TCSANOW, &raw_want));
  char name[64];
  MUST(ptsname_r(master, name, sizeof name));
  int again = MUST(open(name, O_RDWR | O_NOCTTY));
  // Queued: a whole line of input, and output that the master has not read.
  for (int moment = 0; moment < 2; moment++) {
    if (moment == !queued) {
      MUST(write(master, "input line\n", 11));
      MUST(write(slave, "out", 3));
      MUST(write(raw_master, "raw in", 6));
      MUST(write(raw_slave, "raw out", 7));
      nap(20);
    }
    if (moment == 0) {
      ready();
      wait_for_check();
    }
  }
  char got[64] = {0}, now_name[64];
  MUST(ptsname_r(master, now_name, sizeof now_name));
  CHECK(!strcmp(name, now_name), "name %s, was %s", now_name, name);
  MUST(tcgetattr(slave, &now));
  CHECK(now.c_lflag == want.c_lflag && now.c_iflag == want.c_iflag && now.c_oflag == want.c_oflag && now.c_cflag == want.c_cflag &&
            !memcmp(now.c_cc, want.c_cc, sizeof now.c_cc), "settings");
  MUST(tcgetattr(raw_slave, &now));
  CHECK(now.c_lflag == raw_want.c_lflag && now.c_oflag == raw_want.c_oflag && cfgetospeed(&now) == B9600, "raw settings");
  struct winsize size;
  MUST(ioctl(master, TIOCGWINSZ, &size));
  CHECK(size.ws_row == 33 && size.ws_col == 122 && size.ws_xpixel == 7 && size.ws_ypixel == 8, "size %d x %d", size.ws_row, size.ws_col);
  CHECK(fcntl(master, F_GETFD) & FD_CLOEXEC && fcntl(raw_master, F_GETFL) & O_NONBLOCK, "flags");
  struct pollfd p = {again, POLLIN, 0};
  CHECK(poll(&p, 1, 1000) == 1, "queued input is lost");
  CHECK(read(again, got, sizeof got) == 11 && !strcmp(got, "input line\n"), "input \"%s\"", got);
  memset(got, 0, sizeof got);
  p.fd = master;
  CHECK(poll(&p, 1, 1000) == 1, "queued output is lost");
  CHECK(read(master, got, sizeof got) == 3 && !strcmp(got, "out"), "output \"%s\"", got);
  memset(got, 0, sizeof got);
  CHECK(read(raw_slave, got, sizeof got) == 6 && !strcmp(got, "raw in"), "raw input \"%s\"", got);
  memset(got, 0, sizeof got);
  CHECK(read(raw_master, got, sizeof got) == 7 && !strcmp(got, "raw out"), "raw output \"%s\"", got);
  MUST(write(master, "more\n", 5));
  memset(got, 0, sizeof got);
  CHECK(read(slave, got, sizeof got) == 5 && !strcmp(got, "more\n"), "a new line: \"%s\"", got);
  pass();
}
