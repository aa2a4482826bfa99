/*
 * The address guard: past a moment that user space moves ahead, the addresses of one module are silent on the interfaces
 * that carry it, whatever the node's processes do. In come no packets to such an address and no questions for it (ARP,
 * neighbour solicitation), out go no packets from it and nothing that says where it is. All else passes: to the next
 * filter, if there is one. Loopback has no guard, so the node itself still reaches its addresses.
 *
 * A question that this node asks about the address, its answer, and what another owner announces pass as well: who looks
 * whether the address is free must hear.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in6.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "kmod/abi/address_guard.h"

#define VLAN_TAGS_MAX 2	/* those in the packet; one more may stand in the metadata */
#define VLAN_TAG_BYTES 4
#define ND_SOLICIT 135
#define ND_ADVERT 136

enum direction { IN, OUT };

struct arp_ipv4 {	/* RFC 826 */
	__be16 hardware, protocol;
	__u8 hardware_bytes, protocol_bytes;
	__be16 operation;
	__u8 sender_mac[ETH_ALEN], sender[4];
	__u8 target_mac[ETH_ALEN], target[4];
} __attribute__((packed));

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);	/* user space sets the true number before it loads */
	__type(key, struct sk_guard_address);
	__type(value, __u8);
} guarded SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sk_guard_state);
} state SEC(".maps");

static __always_inline int is_guarded_v6(const __u8 *ip)
{
	return bpf_map_lookup_elem(&guarded, ip) != NULL;
}

static __always_inline int is_guarded_v4(const __u8 *ip)
{
	struct sk_guard_address mapped = {};

	mapped.bytes[10] = mapped.bytes[11] = 0xff;
	__builtin_memcpy(&mapped.bytes[12], ip, 4);
	return is_guarded_v6(mapped.bytes);
}

/* Whether a packet is for a guarded address, or from it. A packet that is too short is nobody's. */
static __always_inline int concerns_v4(struct __sk_buff *skb, __u32 at, enum direction direction)
{
	__u8 ip[4];

	if (bpf_skb_load_bytes(skb, at + (direction == IN ? 16 : 12), ip, sizeof(ip)))
		return 0;
	return is_guarded_v4(ip);
}

static __always_inline int concerns_v6(struct __sk_buff *skb, __u32 at, enum direction direction)
{
	__u8 ip[16], next, type;

	if (bpf_skb_load_bytes(skb, at + (direction == IN ? 24 : 8), ip, sizeof(ip)))
		return 0;
	if (is_guarded_v6(ip))
		return 1;
	if (bpf_skb_load_bytes(skb, at + 6, &next, 1) || next != IPPROTO_ICMPV6)
		return 0;
	if (bpf_skb_load_bytes(skb, at + 40, &type, 1) || type != (direction == IN ? ND_SOLICIT : ND_ADVERT))
		return 0;
	if (bpf_skb_load_bytes(skb, at + 48, ip, sizeof(ip)))
		return 0;
	return is_guarded_v6(ip);
}

static __always_inline int concerns_arp(struct __sk_buff *skb, __u32 at, enum direction direction)
{
	struct arp_ipv4 arp;

	if (bpf_skb_load_bytes(skb, at, &arp, sizeof(arp)))
		return 0;
	if (arp.protocol != bpf_htons(ETH_P_IP) || arp.hardware_bytes != ETH_ALEN || arp.protocol_bytes != 4)
		return 0;
	if (direction == OUT)
		return is_guarded_v4(arp.sender);
	/* Sender and target are one: another owner announces itself, nobody is asked. */
	return __builtin_memcmp(arp.sender, arp.target, 4) && is_guarded_v4(arp.target);
}

static __always_inline int concerns(struct __sk_buff *skb, enum direction direction)
{
	__u32 at = ETH_HLEN;
	__be16 type;

	/* The frame's own bytes: skb->protocol of a packet socket is what its owner said. */
	if (bpf_skb_load_bytes(skb, at - 2, &type, sizeof(type)))
		return 0;
#pragma unroll
	for (int tag = 0; tag < VLAN_TAGS_MAX; tag++) {
		if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD))
			break;
		at += VLAN_TAG_BYTES;
		if (bpf_skb_load_bytes(skb, at - 2, &type, sizeof(type)))
			return 0;
	}
	switch (type) {
	case bpf_htons(ETH_P_IP):
		return concerns_v4(skb, at, direction);
	case bpf_htons(ETH_P_IPV6):
		return concerns_v6(skb, at, direction);
	case bpf_htons(ETH_P_ARP):
		return concerns_arp(skb, at, direction);
	}
	return 0;
}

static __always_inline int guard(struct __sk_buff *skb, enum direction direction)
{
	__u32 zero = 0;
	struct sk_guard_state *now = bpf_map_lookup_elem(&state, &zero);
	__u64 until;

	if (!now)
		return TC_ACT_UNSPEC;
	until = *(volatile __u64 *)&now->until_ns;
	/* In time nothing has to be looked at, so a primary pays for one reading of the clock. */
	if (until == SK_GUARD_NO_END || bpf_ktime_get_boot_ns() < until || !concerns(skb, direction))
		return TC_ACT_UNSPEC;
	__sync_fetch_and_add(&now->dropped, 1);
	return TC_ACT_SHOT;
}

SEC("tc")
int guard_ingress(struct __sk_buff *skb)
{
	return guard(skb, IN);
}

SEC("tc")
int guard_egress(struct __sk_buff *skb)
{
	return guard(skb, OUT);
}

/* No helper used here asks for a licence of the kernel's. */
char LICENSE[] SEC("license") = "Apache-2.0";
