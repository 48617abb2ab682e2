#ifndef TESTS_UNIT_TLS_PKI_H
#define TESTS_UNIT_TLS_PKI_H

/* Certificates for tests, made when they are needed, in a folder of their own. */

#include <stdbool.h>

enum { PKI_PATH = 128 };

struct pki_ask {
    const char *file;   /* "server": server.pem and server.key */
    const char *names;  /* subjectAltName, as OpenSSL writes it: "DNS:example.com,IP:127.0.0.1"; NULL: none */
    const char *issuer; /* file of who signs it; NULL: itself */
    const char *common_name;
    long days; /* from now until it ends; negative: it has ended */
    bool is_authority;
    bool is_rsa;
};

struct pki {
    char dir[64];
};

void pki_open(struct pki *p);
void pki_close(struct pki *p);
void pki_make(struct pki *p, const struct pki_ask *ask);
/* The path of a file in it; one of a few static buffers. */
const char *pki_path(const struct pki *p, const char *file);
/* A file with these bytes. */
const char *pki_write(const struct pki *p, const char *file, const char *text);
/* One file with what both have, the first in front. */
const char *pki_join(const struct pki *p, const char *file, const char *first, const char *second);

#endif
