// What the kernel's user-space headers say about the numbers that jcr holds in Java tables.
//
// Not run but compiled to assembly, so a cross compiler suffices: every value is an immediate
// operand of an empty asm statement, on a line that holds "@jcr". tests/abi/run makes the
// committed outputs from it; AbiOracleTest compares them with the Java tables on every host.
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <asm/termbits.h>
#include <asm/unistd.h>
#include <linux/if_packet.h>
#include <linux/in6.h>
#include <linux/kcmp.h>
#include <linux/net_tstamp.h>
#include <linux/netlink.h>
#include <linux/packet_diag.h>
#include <linux/sock_diag.h>
#include <linux/udp.h>
#include <linux/unix_diag.h>

// As 32 bits with a sign, like a Java int.
#define C(name) asm volatile("@jcr " #name " %0" ::"i"((int)(name)))
#define S(name) asm volatile("@jcr syscall " #name " %0" ::"i"(__NR_##name))
#define NONE(name) asm volatile("@jcr syscall " #name " none")

// The value of the kernel; that of a 64-bit libc is 0.
#undef O_LARGEFILE
#if defined(__aarch64__)
#define O_LARGEFILE 0400000
#else
#define O_LARGEFILE 0100000
#endif

#define SIZEOF_STATX sizeof(struct statx)
#define SIZEOF_TERMIOS2 sizeof(struct termios2)
#define SIZEOF_WINSIZE sizeof(struct winsize)
#define SIZEOF_ITIMERSPEC sizeof(struct itimerspec)

// Newer than the headers may be: <asm-generic/socket.h>, <linux/socket.h> and <linux/if_packet.h>
// of Linux 6.5, 6.14 and 6.16.
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif
#ifndef SO_RCVPRIORITY
#define SO_RCVPRIORITY 82
#endif
#ifndef PACKET_VNET_HDR_SZ
#define PACKET_VNET_HDR_SZ 24
#endif
#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif

// <linux/timerfd.h> cannot be included beside <fcntl.h>.
#define TFD_IOC_SET_TICKS _IOW('T', 0, uint64_t)

void oracle(void) {
  C(O_DIRECTORY);
  C(O_NOFOLLOW);
  C(O_DIRECT);
  C(O_LARGEFILE);
  C(O_TMPFILE);
// One C or S for every row of the Java tables, made from them by tests/abi/run.
#include TABLES
}
