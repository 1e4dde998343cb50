// Holds a known value in every register that user code can set, and compares without end.
//
//   torture_regs DIR spin          a counting loop in user code
//   torture_regs DIR nanosleep     the same registers around a raw blocking system call
//   torture_regs DIR futex
//   torture_regs DIR poll
//   torture_regs DIR handler       the loop inside a signal handler
//   torture_regs DIR pending       the loop with a blocked signal waiting
//   torture_regs DIR filtered      a blocking call that a seccomp filter looked at
//   ... [SET ...]                  sve=BYTES sme=BYTES streaming za zt0 fpmr tpidr2; none: all that the CPU has but
//                                  streaming mode; "fp": V registers only
//   ... loops=N                    rounds of the loop
//   ... stopped                    x8 may be 128 (restart_syscall) after the call: the kernel leaves it there
//
// All values live during the window: x0 to x30 (x16 counts down and x17 up in the loop), sp, NZCV, FPCR, FPSR,
// TPIDR_EL0, V0 to V31 or, at the vector length asked for, Z0 to Z31, P0 to P15 and FFR, in streaming mode the same but
// FFR; ZA, ZT0, FPMR, TPIDR2. A system call keeps of Z only the V part and drops P, FFR and streaming mode.
#include "../jcrtest.h"
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>

enum { SP = 31, NZCV, FPCR, FPSR, TPIDR, TPIDR2, FPMR, SVCR, VL, SVL, COUNT };
static const char *const names[COUNT] = {
    "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15",
    "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x29", "x30",
    "sp", "nzcv", "fpcr", "fpsr", "tpidr_el0", "tpidr2_el0", "fpmr", "svcr", "vl", "svl"};
enum { HAS_SVE = 1, STREAMING = 2, HAS_ZA = 4, HAS_ZT0 = 8, HAS_FPMR = 16, HAS_SME = 32, BLOCKING = 64, HAS_TPIDR2 = 128 };

// Named by the assembler below, hence not static. The offsets in the assembler are those of this struct.
struct context {
  uint64_t registers[COUNT + 23];              // 0
  uint8_t z[32 * 256];                         // 512
  uint8_t p[16 * 32];                          // 8704
  uint8_t ffr[64];                             // 9216
  uint8_t zt0[64];                             // 9280
  uint8_t za[256 * 256];                       // 9344
};
__attribute__((used, aligned(64))) struct context want, got;
__attribute__((used)) uint64_t flags, saved[8];

static volatile sig_atomic_t told, told_inner;
// No stack protector and no TLS here: TPIDR_EL0 is a test value while this runs.
__attribute__((optimize("no-stack-protector"))) static void on_signal(int number) {
  (void)number;
  told = 1;
}

void window(void);
extern char window_begin[], window_end[], call_begin[];
#define STR(x) #x
#define TIMES16(f) f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11) f(12) f(13) f(14) f(15)
#define TIMES32(f) TIMES16(f) f(16) f(17) f(18) f(19) f(20) f(21) f(22) f(23) f(24) f(25) f(26) f(27) f(28) f(29) f(30) f(31)
#define LOADZ(i) "ldr z" #i ", [x3, #" #i ", mul vl]\n"
#define STOREZ(i) "str z" #i ", [x3, #" #i ", mul vl]\n"
#define LOADP(i) "ldr p" #i ", [x3, #" #i ", mul vl]\n"
#define STOREP(i) "str p" #i ", [x3, #" #i ", mul vl]\n"
#define LOADQ(i) "ldr q" #i ", [x3, #16*" #i "]\n"
#define STOREQ(i) "str q" #i ", [x3, #16*" #i "]\n"
#define EACH_X(f) f(0, 1) f(2, 3) f(4, 5) f(6, 7) f(8, 9) f(10, 11) f(12, 13) f(14, 15) f(16, 17) f(18, 19) \
    f(20, 21) f(22, 23) f(24, 25) f(26, 27)
#define LOADX(a, b) "ldp x" #a ", x" #b ", [x30, #8*" #a "]\n"
#define STOREX(a, b) "stp x" #a ", x" #b ", [x30, #8*" #a "]\n"
// want or got into a register, plus an offset.
#define ADDRESS(r, symbol) "adrp " #r ", " #symbol "\n add " #r ", " #r ", :lo12:" #symbol "\n"
#define PLUS(r, base, offset) "mov " #r ", #" #offset "\n add " #r ", " #base ", " #r "\n"
#define LOAD_ALL                                                                                          \
  ADDRESS(x30, want)                                                                                      \
  "ldr x0, [x30, #8*31]\n mov sp, x0\n ldr x0, [x30, #8*32]\n msr nzcv, x0\n"                             \
  EACH_X(LOADX) "ldr x28, [x30, #8*28]\n ldp x29, x30, [x30, #8*29]\n"
asm(".arch armv9.2-a+sme2+sve2\n.text\n.globl window\n.type window,@function\nwindow:\n"
    "stp x29, x30, [sp, #-176]!\n stp x19, x20, [sp, #16]\n stp x21, x22, [sp, #32]\n stp x23, x24, [sp, #48]\n"
    "stp x25, x26, [sp, #64]\n stp x27, x28, [sp, #80]\n stp d8, d9, [sp, #96]\n stp d10, d11, [sp, #112]\n"
    "stp d12, d13, [sp, #128]\n stp d14, d15, [sp, #144]\n str x18, [sp, #160]\n"
    ADDRESS(x0, saved)
    "mov x1, sp\n str x1, [x0]\n mrs x1, tpidr_el0\n str x1, [x0, #8]\n mrs x1, fpcr\n str x1, [x0, #16]\n"
    "mrs x1, fpsr\n str x1, [x0, #24]\n"
    ADDRESS(x0, flags) "ldr x2, [x0]\n"
    ADDRESS(x1, want)
    // ZA and ZT0
    "tbz x2, #2, 1f\n smstart za\n" PLUS(x3, x1, 9344) "rdsvl x4, #1\n mov w12, #0\n"
    "2: ldr za[w12, #0], [x3]\n add x3, x3, x4\n add w12, w12, #1\n cmp x12, x4\n b.lo 2b\n"
    "1: tbz x2, #3, 1f\n" PLUS(x3, x1, 9280) "ldr zt0, [x3]\n"
    // Z, P and FFR, or V
    "1: tbz x2, #1, 1f\n smstart sm\n"
    "1: tst x2, #3\n b.eq 3f\n"
    "tbnz x2, #1, 2f\n" PLUS(x3, x1, 9216) "ldr p0, [x3]\n wrffr p0.b\n"
    "2:" PLUS(x3, x1, 512) TIMES32(LOADZ) PLUS(x3, x1, 8704) TIMES16(LOADP) "b 4f\n"
    "3:" PLUS(x3, x1, 512) TIMES32(LOADQ)
    "4: ldr x3, [x1, #8*33]\n msr fpcr, x3\n ldr x3, [x1, #8*34]\n msr fpsr, x3\n"
    "ldr x3, [x1, #8*35]\n msr tpidr_el0, x3\n"
    "tbz x2, #7, 1f\n ldr x3, [x1, #8*36]\n msr s3_3_c13_c0_5, x3\n"
    "1: tbz x2, #4, 1f\n ldr x3, [x1, #8*37]\n msr s3_3_c4_c4_2, x3\n"
    "1: tbnz x2, #6, 5f\n" LOAD_ALL
    ".globl window_begin\nwindow_begin:\n"
    "1: add x17, x17, #1\n sub x16, x16, #1\n cbnz x16, 1b\n"
    ".globl window_end\nwindow_end:\n"
    "b 6f\n"
    "5:" LOAD_ALL ".globl call_begin\ncall_begin: svc #0\n"
    "6: stp x29, x30, [sp, #-16]!\n" ADDRESS(x30, got) EACH_X(STOREX) "str x28, [x30, #8*28]\n"
    "mrs x0, nzcv\n str x0, [x30, #8*32]\n"
    "ldp x0, x1, [sp], #16\n stp x0, x1, [x30, #8*29]\n mov x0, sp\n str x0, [x30, #8*31]\n mov x1, x30\n"
    ADDRESS(x0, flags) "ldr x2, [x0]\n"
    "mrs x3, fpcr\n str x3, [x1, #8*33]\n mrs x3, fpsr\n str x3, [x1, #8*34]\n"
    "mrs x3, tpidr_el0\n str x3, [x1, #8*35]\n"
    "tbz x2, #7, 1f\n mrs x3, s3_3_c13_c0_5\n str x3, [x1, #8*36]\n"
    "1: tbz x2, #4, 1f\n mrs x3, s3_3_c4_c4_2\n str x3, [x1, #8*37]\n"
    "1: tbz x2, #5, 1f\n mrs x3, s3_3_c4_c2_2\n str x3, [x1, #8*38]\n rdsvl x3, #1\n str x3, [x1, #8*40]\n"
    "1: tst x2, #3\n b.eq 3f\n rdvl x3, #1\n str x3, [x1, #8*39]\n"
    // When streaming mode was lost, the Z registers are shorter; the comparison of vl tells.
    PLUS(x3, x1, 512) TIMES32(STOREZ) PLUS(x3, x1, 8704) TIMES16(STOREP)
    "tbnz x2, #1, 4f\n" PLUS(x3, x1, 9216) "rdffr p0.b\n str p0, [x3]\n b 4f\n"
    "3:" PLUS(x3, x1, 512) TIMES32(STOREQ)
    "4: tbz x2, #5, 9f\n ldr x3, [x1, #8*38]\n tbz x3, #1, 8f\n"
    "tbz x2, #2, 1f\n" PLUS(x3, x1, 9344) "rdsvl x4, #1\n mov w12, #0\n"
    "2: str za[w12, #0], [x3]\n add x3, x3, x4\n add w12, w12, #1\n cmp x12, x4\n b.lo 2b\n"
    "1: tbz x2, #3, 8f\n" PLUS(x3, x1, 9280) "str zt0, [x3]\n"
    "8: smstop\n"
    "9:" ADDRESS(x0, saved)
    "ldr x1, [x0]\n mov sp, x1\n ldr x1, [x0, #8]\n msr tpidr_el0, x1\n ldr x1, [x0, #16]\n msr fpcr, x1\n"
    "ldr x1, [x0, #24]\n msr fpsr, x1\n tbz x2, #7, 1f\n msr s3_3_c13_c0_5, xzr\n"
    "1: ldr x18, [sp, #160]\n ldp d14, d15, [sp, #144]\n ldp d12, d13, [sp, #128]\n ldp d10, d11, [sp, #112]\n"
    "ldp d8, d9, [sp, #96]\n ldp x27, x28, [sp, #80]\n ldp x25, x26, [sp, #64]\n ldp x23, x24, [sp, #48]\n"
    "ldp x21, x22, [sp, #32]\n ldp x19, x20, [sp, #16]\n ldp x29, x30, [sp], #176\n ret\n"
    ".size window, .-window\n");

static uint64_t sve_bytes, sme_bytes;

static void compare(const char *what, const uint8_t *a, const uint8_t *b, size_t size, uint64_t round) {
  for (size_t i = 0; i < size; i++)
    CHECK(a[i] == b[i], "%s byte %zu: want %02x, is %02x, round %llu", what, i, a[i], b[i],
          (unsigned long long)round);
}

static uint64_t loops = 2000000;
static int stopped;

static void set_up(int argc, char **argv) {
  unsigned long hwcap = getauxval(AT_HWCAP), hwcap2 = getauxval(AT_HWCAP2);
  uint64_t has = 0, asked = 0;
  if (hwcap & 1ul << 22) has |= HAS_SVE;
  if (hwcap2 & 1ul << 23) has |= HAS_SME | HAS_ZA | STREAMING | HAS_TPIDR2;
  if (hwcap2 & 1ul << 37) has |= HAS_ZT0;
  if (hwcap2 & 1ul << 48) has |= HAS_FPMR;
  char text[160];
  snprintf(text, sizeof text, "sve=%d sme=%d zt0=%d fpmr=%d pac=%d mte=%d gcs=%d\n", !!(has & HAS_SVE),
           !!(has & HAS_SME), !!(has & HAS_ZT0), !!(has & HAS_FPMR), !!(hwcap & 1ul << 30),
           !!(hwcap2 & 1ul << 18), !!(hwcap & 1ul << 32));
  put_file("features", text);
  int any = 0;
  for (int i = 3; i < argc; i++) {
    const char *a = argv[i];
    if (!strncmp(a, "loops=", 6)) {
      loops = strtoull(a + 6, NULL, 10);
      continue;
    }
    if (!strcmp(a, "stopped")) {
      stopped = 1;
      continue;
    }
    any = 1;
    if (!strncmp(a, "sve=", 4)) asked |= HAS_SVE, sve_bytes = strtoull(a + 4, NULL, 10);
    else if (!strncmp(a, "sme=", 4)) asked |= HAS_SME, sme_bytes = strtoull(a + 4, NULL, 10);
    else if (!strcmp(a, "streaming")) asked |= HAS_SME | STREAMING;
    else if (!strcmp(a, "za")) asked |= HAS_SME | HAS_ZA;
    else if (!strcmp(a, "zt0")) asked |= HAS_SME | HAS_ZA | HAS_ZT0;
    else if (!strcmp(a, "fpmr")) asked |= HAS_FPMR;
    else if (!strcmp(a, "tpidr2")) asked |= HAS_SME | HAS_TPIDR2;
    else if (strcmp(a, "fp")) fail("set-up: unknown set %s", a);
  }
  if (!any) asked = has & ~(uint64_t)STREAMING;
  if (asked & ~has) skip("this CPU or kernel lacks one of the register sets asked for");
  flags |= asked;
  if (sve_bytes && prctl(PR_SVE_SET_VL, sve_bytes) < 0) fail("set-up: PR_SVE_SET_VL");
  if (sme_bytes && prctl(63 /* PR_SME_SET_VL */, sme_bytes) < 0) fail("set-up: PR_SME_SET_VL");
  if (flags & HAS_SVE) {
    uint64_t is = prctl(PR_SVE_GET_VL) & 0xffff;
    if (sve_bytes && is != sve_bytes) skip("this CPU lacks the SVE vector length");
    sve_bytes = is;
  }
  if (flags & HAS_SME) {
    uint64_t is = prctl(64 /* PR_SME_GET_VL */) & 0xffff;
    if (sme_bytes && is != sme_bytes) skip("this CPU lacks the SME vector length");
    sme_bytes = is;
  }
}

static uint64_t z_bytes(void) { return flags & STREAMING ? sme_bytes : flags & HAS_SVE ? sve_bytes : 16; }

static void check_vectors(uint64_t round) {
  uint64_t bytes = z_bytes();
  if (!(flags & (HAS_SVE | STREAMING)) || !(flags & BLOCKING)) {
    compare("z", want.z, got.z, 32 * bytes, round);
  } else {
    for (int i = 0; i < 32; i++) compare("v", want.z + i * bytes, got.z + i * bytes, 16, round);
  }
  if (flags & (HAS_SVE | STREAMING) && !(flags & BLOCKING)) {
    compare("p", want.p, got.p, 2 * bytes, round);
    if (!(flags & STREAMING)) compare("ffr", want.ffr, got.ffr, bytes / 8, round);
  }
  if (flags & HAS_ZA) compare("za", want.za, got.za, sme_bytes * sme_bytes, round);
  if (flags & HAS_ZT0) compare("zt0", want.zt0, got.zt0, 64, round);
}

static uint64_t result;
static void rounds(void) {
  for (uint64_t round = 0;; round++) {
    memset(&got, 0, sizeof got.registers + sizeof got.z + sizeof got.p + sizeof got.ffr + sizeof got.zt0);
    if (flags & HAS_ZA) memset(got.za, 0, sme_bytes * sme_bytes);
    window();
    for (int i = 0; i < COUNT; i++) {
      uint64_t expected = want.registers[i];
      if (i == 0 && flags & BLOCKING) expected = result;
      if (i == 16 && !(flags & BLOCKING)) expected = 0;
      if (i == 17 && !(flags & BLOCKING)) expected += want.registers[16];
      if (i == 8 && stopped && got.registers[8] == 128) continue;
      if (i == 0 && told && got.registers[0] == (uint64_t)-EINTR) continue;  // our own signal
      CHECK(got.registers[i] == expected, "%s: want %llx, is %llx, round %llu", names[i],
            (unsigned long long)expected, (unsigned long long)got.registers[i], (unsigned long long)round);
    }
    check_vectors(round);
    if (told || told_to_check()) pass();
  }
}

static void in_handler(int number) {
  (void)number;
  rounds();
}

static void install_filter(void) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_acct, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

int main(int argc, char **argv) {
  start(argc, argv);
  const char *mode = argc > 2 ? argv[2] : "spin";
  set_up(argc, argv);
  char *stack = MUST(mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  char *alternate = MUST(mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  stack_t on_alternate = {.ss_sp = alternate, .ss_size = 1 << 20};
  MUST(sigaltstack(&on_alternate, NULL));
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
  MUST(sigaction(SIGUSR1, &action, NULL));
  for (int i = 0; i < 31; i++) want.registers[i] = mix(200 + i);
  want.registers[16] = loops;
  want.registers[SP] = (uint64_t)stack + (1 << 19);
  want.registers[NZCV] = 0xa0000000;
  want.registers[FPCR] = 0x02c00000;           // DN, round towards zero
  want.registers[FPSR] = 0x0800009f;           // QC and every cumulative flag
  want.registers[TPIDR] = mix(300);
  want.registers[TPIDR2] = flags & HAS_TPIDR2 ? mix(301) : 0;
  want.registers[FPMR] = flags & HAS_FPMR ? 0x0000001512150049ull : 0;
  want.registers[SVCR] = flags & BLOCKING ? 0 : (flags & STREAMING ? 1 : 0);
  fill(want.z, sizeof want.z, 11);
  fill(want.p, sizeof want.p, 12);
  fill(want.zt0, sizeof want.zt0, 13);
  fill(want.za, sizeof want.za, 14);
  // FFR holds the first elements only, or the instruction is unpredictable.
  memset(want.ffr, 0xff, z_bytes() / 16);
  static struct timespec request = {0, 20000000}, remainder;
  static uint32_t word = 5;
  static struct pollfd none = {.fd = -1};
  uint64_t *x = want.registers;
  if (!strcmp(mode, "nanosleep")) {
    flags |= BLOCKING, x[8] = SYS_nanosleep, x[0] = (uint64_t)&request, x[1] = (uint64_t)&remainder;
  } else if (!strcmp(mode, "futex")) {
    flags |= BLOCKING, x[8] = SYS_futex, x[0] = (uint64_t)&word, x[1] = FUTEX_WAIT | FUTEX_PRIVATE_FLAG;
    x[2] = 5, x[3] = (uint64_t)&request, result = -ETIMEDOUT;
  } else if (!strcmp(mode, "poll") || !strcmp(mode, "filtered")) {
    flags |= BLOCKING, x[8] = SYS_ppoll, x[0] = (uint64_t)&none, x[1] = 1, x[2] = (uint64_t)&request;
    x[3] = 0, x[4] = 8;
  } else if (strcmp(mode, "spin") && strcmp(mode, "handler") && strcmp(mode, "pending")) {
    fail("set-up: unknown mode %s", mode);
  }
  if (flags & BLOCKING && flags & STREAMING) fail("set-up: a system call leaves streaming mode");
  want.registers[SVCR] = (flags & STREAMING ? 1 : 0) | (flags & HAS_ZA ? 2 : 0);
  want.registers[VL] = flags & (HAS_SVE | STREAMING) ? z_bytes() : 0;
  want.registers[SVL] = flags & HAS_SME ? sme_bytes : 0;
  char text[80];
  snprintf(text, sizeof text, "%lx %lx\n", (unsigned long)(flags & BLOCKING ? call_begin : window_begin),
           (unsigned long)(flags & BLOCKING ? call_begin + 4 : window_end));
  put_file("window", text);
  if (!strcmp(mode, "filtered")) install_filter();
  if (!strcmp(mode, "pending")) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL));
    MUST(raise(SIGUSR2));
  }
  uint64_t counted = want.registers[16];
  want.registers[16] = 1;
  window();  // says which bits of FPMR there are
  want.registers[16] = counted;
  if (flags & HAS_FPMR) {
    CHECK(got.registers[FPMR] != 0, "set-up: FPMR keeps nothing");
    want.registers[FPMR] = got.registers[FPMR];
  }
  ready();
  if (!strcmp(mode, "handler")) {
    struct sigaction inner = {.sa_handler = in_handler};
    MUST(sigaction(SIGUSR2, &inner, NULL));
    raise(SIGUSR2);
  }
  rounds();
}
