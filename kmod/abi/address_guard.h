/* What the address guard shares between kernel and user space. */
#pragma once

#include <linux/types.h>

/* Key of the map `guarded`: network order; IPv4 in its mapped form, ::ffff:a.b.c.d. */
struct sk_guard_address {
	__u8 bytes[16];
};

/* The one element of the map `state`, which user space maps into its memory. */
struct sk_guard_state {
	__u64 until_ns;	/* CLOCK_BOOTTIME of the kernel; the addresses are silent from then on */
	__u64 dropped;	/* packets since the program was loaded */
};

#define SK_GUARD_NEVER 0ULL	/* until_ns: silent at once */
#define SK_GUARD_NO_END (~0ULL)
