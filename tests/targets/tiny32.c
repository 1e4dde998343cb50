// A 32-bit program without a library: gcc -m32 -nostdlib -static.
void _start(void) {
  for (;;) {
    int result = 29;  // pause
    asm volatile("int $0x80" : "+a"(result));
  }
}
