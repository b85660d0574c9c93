/* The rest of a program without an operating system: an entry point, and the four functions that every compiler may
 * call by itself, which a bare-metal target's runtime brings along. Nothing else is linked. */

#include <stddef.h>
#include <stdint.h>

size_t dtu_encode_data(uint32_t seq, const uint8_t *body, size_t len, uint8_t *out, size_t room);
size_t dtu_encode_close(uint8_t *out, size_t room);
int32_t dtu_decode(const uint8_t *bytes, size_t len, size_t *covered);
uint32_t dtu_receive(const uint8_t *bytes, size_t len);

void *memcpy(void *restrict to, const void *restrict from, size_t len) {
    uint8_t *t = to;
    const uint8_t *f = from;
    while (len--) *t++ = *f++;
    return to;
}

void *memmove(void *to, const void *from, size_t len) {
    uint8_t *t = to;
    const uint8_t *f = from;
    if (t < f) return memcpy(to, from, len);
    while (len--) t[len] = f[len];
    return to;
}

void *memset(void *to, int byte, size_t len) {
    uint8_t *t = to;
    while (len--) *t++ = (uint8_t)byte;
    return to;
}

int memcmp(const void *left, const void *right, size_t len) {
    const uint8_t *l = left, *r = right;
    for (; len--; l++, r++) if (*l != *r) return *l - *r;
    return 0;
}

int bcmp(const void *left, const void *right, size_t len) { return memcmp(left, right, len); }

/* Returns 0 when two frames go out and come back whole through noise, else the number of the check that failed. */
static int check(void) {
    static const uint8_t body[] = {0x01, 0x03, 0x04, 0x00, 0x0A};
    uint8_t line[64] = {0xD7, 0x55, 0x00};
    size_t covered = 0, data, close;
    if ((data = dtu_encode_data(7, body, sizeof body, line + 3, sizeof line - 3)) != 10 + 6 + sizeof body) return 1;
    if ((close = dtu_encode_close(line + 3 + data, sizeof line - 3 - data)) != 10 + 3) return 2;
    if (dtu_encode_close(line, 12) != 0) return 3;
    if (dtu_decode(line, 3 + data, &covered) != -1 || covered != 3) return 4;
    if (dtu_decode(line + 3, data, &covered) != 1 || covered != data) return 5;
    if (dtu_decode(line + 3, data - 1, &covered) != 0 || covered != 0) return 6;
    if (dtu_receive(line, 3 + data + close - 1) != 1) return 7;
    if (dtu_receive(line + 3 + data + close - 1, 1) != 2) return 8;
    return 0;
}

#ifdef __x86_64__
/* Leaves with exit_group(check()), so that on Linux the program can also be run. */
__attribute__((force_align_arg_pointer)) void _start(void) {
    long status = check();
    __asm__ volatile("syscall" : : "a"(231L), "D"(status) : "rcx", "r11", "memory");
    for (;;) {}
}
#else
void _start(void) {
    volatile int status = check();
    (void)status;
    for (;;) {}
}
#endif
