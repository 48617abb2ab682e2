#ifndef WSB_BASE_IP_H
#define WSB_BASE_IP_H

/*
 * IP addresses and networks of them as values, and the rules that say who may come. An IPv4 address is the IPv6 address
 * that stands for it (::ffff:a.b.c.d, RFC 4291 §2.5.5.2), so that there is one kind to compare. A client on a Unix
 * socket has no address: "unix" is the unspecified one (::), which no client on a network can have. A client whose address
 * a proxy does not tell, or tells in words that nobody understands, is "unknown": all ones, which is no client's either.
 * Pure.
 */

#include <stdbool.h>

#include "base/fault.h"
#include "base/span.h"

enum { WSB_IP_TEXT = 48 };

struct wsb_ip {
    uint8_t at[16];
};

/* The addresses whose first `bits` bits are those of ip. */
struct wsb_ip_net {
    struct wsb_ip ip;
    uint8_t bits; /* of 128 */
};

struct wsb_ip_nets {
    struct wsb_ip_net *at; /* owned */
    size_t count;
};

/* Numeric, without brackets, port or zone. False: it is none. */
bool wsb_ip_parse(struct wsb_span text, struct wsb_ip *ret);
/* One to five digits, 0 to 65535. */
bool wsb_port_parse(struct wsb_span text, uint16_t *ret);
/* The address of a client that nobody knows the address of. It lies in no network but "unknown". */
struct wsb_ip wsb_ip_unknown(void);
bool wsb_ip_is_unknown(const struct wsb_ip *ip);
/* "192.0.2.1", "2001:db8::1", "unix", "unknown" */
void wsb_ip_format(const struct wsb_ip *ip, char out[WSB_IP_TEXT]);
bool wsb_ip_is_v4(const struct wsb_ip *ip);
/* The first bits of it, and zeros. */
struct wsb_ip wsb_ip_mask(const struct wsb_ip *ip, unsigned bits);
/* Who counts as one where addresses have limits: of IPv6 the first 64 bits, since a household gets no less. */
struct wsb_ip wsb_ip_household(const struct wsb_ip *ip);

/* "10.0.0.0/8", "2001:db8::/32", an address alone, "unix" or "unknown". WSB_ERR_CONFIG: it is none, and the fault says why. */
WSB_MUST_CHECK wsb_err wsb_ip_net_parse(const char *text, struct wsb_ip_net *ret, struct wsb_fault *fault);
/* The same, only to see whether it is right. */
WSB_MUST_CHECK wsb_err wsb_ip_net_check(const char *text, struct wsb_fault *fault);
/* Of proxies: nobody may be believed whose address is unknown. */
WSB_MUST_CHECK wsb_err wsb_ip_proxy_check(const char *text, struct wsb_fault *fault);

/* All of a list; on failure nothing is held. */
WSB_MUST_CHECK wsb_err wsb_ip_nets_init(struct wsb_ip_nets *n, char *const *texts, size_t count,
                                        struct wsb_fault *fault);
void wsb_ip_nets_deinit(struct wsb_ip_nets *n);
bool wsb_ip_nets_have(const struct wsb_ip_nets *n, const struct wsb_ip *ip);

/* Who may come: whoever is not in `deny`, and, where there is an `allow`, is in it. A client whose address is unknown cannot be
 * shown to be outside of `deny`: where there is any rule, only an `allow` of "unknown" admits it. */
struct wsb_ip_rules {
    struct wsb_ip_nets allow, deny;
};

/* On failure nothing is held. */
WSB_MUST_CHECK wsb_err wsb_ip_rules_init(struct wsb_ip_rules *r, char *const *allow, size_t allow_count,
                                         char *const *deny, size_t deny_count, struct wsb_fault *fault);
bool wsb_ip_rules_admit(const struct wsb_ip_rules *r, const struct wsb_ip *ip);
void wsb_ip_rules_deinit(struct wsb_ip_rules *r);

#endif
