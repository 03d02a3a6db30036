/* A ptrace() for User Mode Linux on CPUs whose registers take more room than it knows of.

   The guest kernel keeps the floating-point registers of its processes in buffers of a fixed size,
   which were large enough up to AVX-512.  With AMX, Linux reports 11 KB, and takes registers back
   only as a whole (PTRACE_SETREGSET of NT_X86_XSTATE is EFAULT for a part).  So the guest's first
   process dies of SIGSEGV.  What is missing at the end of its buffers is the state of features that
   the header at their beginning says are not in use: zeros do.

   tools/with-kernel-sctp compiles this file, without a C library or headers, and preloads it. */

typedef unsigned long size;

struct vector {
    void *base;
    size length;
};

enum { GETREGSET = 0x4204, SETREGSET = 0x4205, XSTATE = 0x202, ROOM = 1 << 16, PTRACE = 101 };

extern int *__errno_location(void);

static char registers[ROOM];
static size whole; /* bytes that Linux wants; 0 as long as that is not known */

static long call(long request, long pid, long address, void *data)
{
    long result;
    register void *fourth __asm__("r10") = data;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"((long)PTRACE), "D"(request), "S"(pid), "d"(address), "r"(fourth)
                     : "rcx", "r11", "memory");
    return result;
}

long ptrace(long request, long pid, long address, void *data)
{
    long result, word;
    struct vector all = {registers, ROOM};

    if (request >= 1 && request <= 3) { /* PTRACE_PEEK...: the C library returns what was read */
        result = call(request, pid, address, &word);
        if (result >= 0) {
            *__errno_location() = 0;
            return word;
        }
    } else if (request == SETREGSET && address == XSTATE) {
        struct vector *given = data;
        if (!whole && call(GETREGSET, pid, XSTATE, &all) >= 0)
            whole = all.length;
        if (given->length < whole) {
            size i;
            for (i = 0; i < given->length; i++)
                registers[i] = ((char *)given->base)[i];
            for (; i < whole; i++)
                registers[i] = 0;
            all.length = whole;
            data = &all;
        }
        result = call(request, pid, address, data);
    } else {
        result = call(request, pid, address, data);
    }
    if (result >= 0)
        return result;
    *__errno_location() = (int)-result;
    return -1;
}
