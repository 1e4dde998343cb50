// Holds a known value in every register that user code can set, and compares without end.
//
//   torture_regs DIR spin      a window of PAUSE instructions in user code
//   torture_regs DIR nanosleep the same around a raw blocking system call
//   torture_regs DIR futex
//   torture_regs DIR poll
//
// All values live during the window: 15 general registers and rsp, flags (CF PF AF ZF SF DF OF NT AC),
// ds and es, the x87 stack with control, status and tag words, MXCSR, XMM/YMM 0-15, and where the
// CPU has them ZMM 0-31, k0-k7, PKRU and the AMX tiles; fs and gs base. EFLAGS.ID is left out: no
// ptrace request writes it (FLAG_MASK of arch/x86/kernel/ptrace.c).
#include "jcrtest.h"
#include <cpuid.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>

enum { RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP, R8, R9, R10, R11, R12, R13, R14, R15, FLAGS, FSB, GSB,
       DS, ES, COUNT };
static const char *const names[COUNT] = {
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15", "rflags", "fs_base", "gs_base", "ds", "es"};

// Named by the assembler below, hence not static.
__attribute__((used)) uint64_t want[COUNT], got[COUNT], saved[COUNT], has_avx512, has_pku, has_amx,
    want_pkru, got_pkru, blocking, after_call;
__attribute__((used, aligned(64))) uint8_t want_fx[512], got_fx[512], own_fx[512], want_ymm[512],
    got_ymm[512], want_zmm[2048], got_zmm[2048], want_k[64], got_k[64], tilecfg[64], got_tilecfg[64],
    want_tiles[8192], got_tiles[8192];

static volatile sig_atomic_t told;
// No stack protector and no TLS here: fs base is a test value while this runs.
__attribute__((optimize("no-stack-protector"))) static void on_signal(int number) {
  (void)number;
  told = 1;
}

// Saves the C context in memory, loads everything, stays in the window, stores everything.
void window(void);
#define EACH_GPR(f) f(rbx, 1) f(rdx, 3) f(rsi, 4) f(rdi, 5) f(rbp, 6) f(r8, 8) f(r9, 9) f(r10, 10) \
    f(r11, 11) f(r12, 12) f(r13, 13) f(r14, 14) f(r15, 15) f(rax, 0) f(rcx, 2)
#define LOAD(r, i) "mov want+8*" #i "(%rip), %" #r "\n"
#define STORE(r, i) "mov %" #r ", got+8*" #i "(%rip)\n"
#define YMM(op, i) op(i)
#define TIMES16(f) f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11) f(12) f(13) f(14) f(15)
#define TIMES8(f) f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7)
#define UPPER16(f) f(16) f(17) f(18) f(19) f(20) f(21) f(22) f(23) f(24) f(25) f(26) f(27) f(28) f(29) f(30) f(31)
#define LOADY(i) "vmovdqu want_ymm+32*" #i "(%rip), %ymm" #i "\n"
#define STOREY(i) "vmovdqu %ymm" #i ", got_ymm+32*" #i "(%rip)\n"
#define LOADZ(i) "vmovdqu64 want_zmm+64*" #i "(%rip), %zmm" #i "\n"
#define STOREZ(i) "vmovdqu64 %zmm" #i ", got_zmm+64*" #i "(%rip)\n"
#define LOADK(i) "kmovq want_k+8*" #i "(%rip), %k" #i "\n"
#define STOREK(i) "kmovq %k" #i ", got_k+8*" #i "(%rip)\n"
#define LOADT(i) "tileloadd want_tiles+1024*" #i "(%rip), %tmm" #i "\n"
asm(".text\n.globl window\n.type window,@function\nwindow:\n"
    "push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n pushfq\n"
    "mov %rsp, saved+8*7(%rip)\n"
    "fxsave64 own_fx(%rip)\n"
    "rdfsbase %rax\n mov %rax, saved+8*17(%rip)\n rdgsbase %rax\n mov %rax, saved+8*18(%rip)\n"
    "mov want+8*17(%rip), %rax\n wrfsbase %rax\n mov want+8*18(%rip), %rax\n wrgsbase %rax\n"
    "mov want+8*19(%rip), %eax\n mov %eax, %ds\n mov want+8*20(%rip), %eax\n mov %eax, %es\n"
    "cmpq $0, has_amx(%rip)\n je 1f\n"
    "ldtilecfg tilecfg(%rip)\n mov $64, %ecx\n lea want_tiles(%rip), %rax\n"
    "tileloadd (%rax,%rcx,1), %tmm0\n add $1024, %rax\n tileloadd (%rax,%rcx,1), %tmm1\n add $1024, %rax\n"
    "tileloadd (%rax,%rcx,1), %tmm2\n add $1024, %rax\n tileloadd (%rax,%rcx,1), %tmm3\n add $1024, %rax\n"
    "tileloadd (%rax,%rcx,1), %tmm4\n add $1024, %rax\n tileloadd (%rax,%rcx,1), %tmm5\n add $1024, %rax\n"
    "tileloadd (%rax,%rcx,1), %tmm6\n add $1024, %rax\n tileloadd (%rax,%rcx,1), %tmm7\n"
    "1: fxrstor64 want_fx(%rip)\n"
    TIMES16(LOADY)
    "cmpq $0, has_avx512(%rip)\n je 2f\n" TIMES16(LOADZ) UPPER16(LOADZ) TIMES8(LOADK)
    "2: cmpq $0, has_pku(%rip)\n je 3f\n"
    "xor %ecx, %ecx\n xor %edx, %edx\n mov want_pkru(%rip), %eax\n wrpkru\n"
    "3: mov want+8*7(%rip), %rsp\n"
    "cmpq $0, blocking(%rip)\n jne 4f\n"
    "pushq want+8*16(%rip)\n" EACH_GPR(LOAD) "popfq\n"
    ".rept 300\n pause\n .endr\n"
    "jmp 5f\n"
    "4: lea 6f(%rip), %rax\n mov %rax, after_call(%rip)\n"
    "pushq want+8*16(%rip)\n" EACH_GPR(LOAD) "popfq\n"
    "syscall\n"
    "6:\n"
    "5:" EACH_GPR(STORE)
    "mov %rsp, got+8*7(%rip)\n pushfq\n popq got+8*16(%rip)\n pushq $0x202\n popfq\n"
    "cmpq $0, has_pku(%rip)\n je 7f\n"
    "xor %ecx, %ecx\n rdpkru\n mov %eax, got_pkru(%rip)\n xor %edx, %edx\n mov $0x55555554, %eax\n wrpkru\n"
    "7: fxsave64 got_fx(%rip)\n" TIMES16(STOREY)
    "cmpq $0, has_avx512(%rip)\n je 8f\n" TIMES16(STOREZ) UPPER16(STOREZ) TIMES8(STOREK)
    "8: cmpq $0, has_amx(%rip)\n je 9f\n"
    "sttilecfg got_tilecfg(%rip)\n mov $64, %ecx\n lea got_tiles(%rip), %rax\n"
    "tilestored %tmm0, (%rax,%rcx,1)\n add $1024, %rax\n tilestored %tmm1, (%rax,%rcx,1)\n add $1024, %rax\n"
    "tilestored %tmm2, (%rax,%rcx,1)\n add $1024, %rax\n tilestored %tmm3, (%rax,%rcx,1)\n add $1024, %rax\n"
    "tilestored %tmm4, (%rax,%rcx,1)\n add $1024, %rax\n tilestored %tmm5, (%rax,%rcx,1)\n add $1024, %rax\n"
    "tilestored %tmm6, (%rax,%rcx,1)\n add $1024, %rax\n tilestored %tmm7, (%rax,%rcx,1)\n tilerelease\n"
    "9: vzeroupper\n mov %ds, %eax\n mov %rax, got+8*19(%rip)\n mov %es, %eax\n mov %rax, got+8*20(%rip)\n"
    "rdfsbase %rax\n mov %rax, got+8*17(%rip)\n rdgsbase %rax\n mov %rax, got+8*18(%rip)\n"
    "mov saved+8*17(%rip), %rax\n wrfsbase %rax\n mov saved+8*18(%rip), %rax\n wrgsbase %rax\n"
    "xor %eax, %eax\n mov %eax, %ds\n mov %eax, %es\n"
    "fxrstor64 own_fx(%rip)\n mov saved+8*7(%rip), %rsp\n"
    "popfq\n pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n"
    ".size window, .-window\n");

static void compare(const char *what, const uint8_t *a, const uint8_t *b, size_t size, uint64_t round) {
  for (size_t i = 0; i < size; i++)
    CHECK(a[i] == b[i], "%s byte %zu: want %02x, is %02x, round %llu", what, i, a[i], b[i],
          (unsigned long long)round);
}

static void prepare_vectors(void) {
  unsigned a, b, c, d;
  uint32_t xcr0 = 0;
  if (__get_cpuid_count(1, 0, &a, &b, &c, &d) && (c & bit_OSXSAVE))
    asm volatile("xgetbv" : "=a"(xcr0), "=d"(d) : "c"(0));
  if ((xcr0 & 6) != 6) skip("no AVX");
  if (!(getauxval(AT_HWCAP2) & 2)) skip("no FSGSBASE instructions");
  __get_cpuid_count(7, 0, &a, &b, &c, &d);
  has_avx512 = (b & (1u << 16)) && (b & (1u << 30)) && (xcr0 & 0xe0) == 0xe0;
  has_pku = (c & (1u << 4)) != 0;
  has_amx = (d & (1u << 24)) && (xcr0 & 0x60000) == 0x60000 && !syscall(SYS_arch_prctl, 0x1023, 18);
  fill(want_ymm, sizeof want_ymm, 11);
  fill(want_zmm, sizeof want_zmm, 12);
  fill(want_k, sizeof want_k, 13);
  fill(want_tiles, sizeof want_tiles, 14);
  for (int i = 0; has_avx512 && i < 16; i++) memcpy(want_ymm + 32 * i, want_zmm + 64 * i, 32);
  tilecfg[0] = 1;
  for (int i = 0; i < 8; i++) tilecfg[16 + 2 * i] = 64, tilecfg[48 + i] = 16;
  want_pkru = 0x55555550 & ~0xc0u;  // keys 0, 1 and 3 open, the others denied
  // FXSAVE image: rounding up, single precision, all exceptions masked; TOP 5, condition bits set.
  *(uint16_t *)(want_fx + 0) = 0x087f;
  *(uint16_t *)(want_fx + 2) = 0x4700 | 5 << 11;
  want_fx[4] = 0xb6;                        // tags: registers 1, 2, 4, 5 and 7 in use
  *(uint32_t *)(want_fx + 24) = 0xffbf;     // MXCSR: FTZ, round to zero, every flag raised
  for (int i = 0; i < 8; i++) {
    uint64_t mantissa = mix(100 + i) | 1ull << 63;
    uint16_t exponent = 0x3fff + i;
    memcpy(want_fx + 32 + 16 * i, &mantissa, 8);
    memcpy(want_fx + 40 + 16 * i, &exponent, 2);
  }
  for (int i = 0; i < 16; i++) memcpy(want_fx + 160 + 16 * i, want_ymm + 32 * i, 16);
}

int main(int argc, char **argv) {
  start(argc, argv);
  const char *mode = argc > 2 ? argv[2] : "spin";
  prepare_vectors();
  char *stack = MUST(mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  char *alternate = MUST(mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  stack_t on_alternate = {.ss_sp = alternate, .ss_size = 1 << 16};
  MUST(sigaltstack(&on_alternate, NULL));
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
  MUST(sigaction(SIGUSR1, &action, NULL));
  for (int i = 0; i < 16; i++) want[i] = mix(200 + i);
  want[RSP] = (uint64_t)stack + (1 << 15) + 8;
  want[FLAGS] = 0x202 | 0x1 | 0x4 | 0x10 | 0x40 | 0x80 | 0x400 | 0x800 | 0x4000 | 0x40000;
  want[FSB] = 0x00007abcdef01238;
  want[GSB] = 0x0000712345678910;
  want[DS] = want[ES] = 0x2b;
  struct timespec request = {0, 20000000}, remainder;
  uint32_t word = 5;
  struct pollfd none = {.fd = -1};
  uint64_t result = 0;
  if (!strcmp(mode, "nanosleep")) {
    blocking = 1, want[RAX] = SYS_nanosleep, want[RDI] = (uint64_t)&request, want[RSI] = (uint64_t)&remainder;
  } else if (!strcmp(mode, "futex")) {
    blocking = 1, want[RAX] = SYS_futex, want[RDI] = (uint64_t)&word;
    want[RSI] = FUTEX_WAIT | FUTEX_PRIVATE_FLAG, want[RDX] = 5, want[R10] = (uint64_t)&request;
    result = -ETIMEDOUT;
  } else if (!strcmp(mode, "poll")) {
    blocking = 1, want[RAX] = SYS_poll, want[RDI] = (uint64_t)&none, want[RSI] = 1, want[RDX] = 20;
  } else if (strcmp(mode, "spin")) {
    fail("set-up: unknown mode %s", mode);
  }
  char features[128];
  snprintf(features, sizeof features, "avx512=%d pku=%d amx=%d\n", (int)has_avx512, (int)has_pku,
           (int)has_amx);
  put_file("features", features);
  uint64_t expected[COUNT];
  window();  // brings up every component once, and gives the x87 pointers to compare with
  memcpy(want_fx + 6, got_fx + 6, 18);
  memcpy(want_fx + 28, got_fx + 28, 4);  // MXCSR mask: the CPU says
  ready();
  for (uint64_t round = 0;; round++) {
    memset(got, 0, sizeof got);
    memset(got_fx, 0, 416);
    memset(got_ymm, 0, sizeof got_ymm);
    window();
    memcpy(expected, want, sizeof want);
    if (blocking) expected[RAX] = result, expected[RCX] = after_call, expected[R11] = want[FLAGS];
    for (int i = 0; i < COUNT; i++) {
      if (i == RAX && told && got[RAX] == (uint64_t)-EINTR) continue;  // our own signal
      CHECK(got[i] == expected[i], "%s: want %llx, is %llx, round %llu", names[i],
            (unsigned long long)expected[i], (unsigned long long)got[i], (unsigned long long)round);
    }
    compare("fxsave", want_fx, got_fx, 416, round);
    compare("ymm", want_ymm, got_ymm, sizeof want_ymm, round);
    if (has_avx512) compare("zmm", want_zmm, got_zmm, sizeof want_zmm, round);
    if (has_avx512) compare("opmask", want_k, got_k, sizeof want_k, round);
    if (has_pku) CHECK(got_pkru == want_pkru, "PKRU %llx", (unsigned long long)got_pkru);
    if (has_amx) compare("tile configuration", tilecfg, got_tilecfg, 64, round);
    if (has_amx) compare("tiles", want_tiles, got_tiles, 8192, round);
    if (told) pass();
  }
}
