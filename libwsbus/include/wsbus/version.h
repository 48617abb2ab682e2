#ifndef WSBUS_VERSION_H
#define WSBUS_VERSION_H

/*
 * Which libwsbus this is: the macros tell of the headers that a program was compiled with, wsb_version() of the library that it
 * found when it was started. A library with the same first number, or before 1.0 with the same SONAME, can be another one
 * than that of the headers: structs that callers allocate begin with their size.
 */

#include "wsbus/err.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WSB_VERSION_MAJOR 0
#define WSB_VERSION_MINOR 1
#define WSB_VERSION_PATCH 0
#define WSB_VERSION_TEXT  "0.1.0"
/* Two of them compare as their versions do. */
#define WSB_VERSION_NUMBER (WSB_VERSION_MAJOR * 1000000 + WSB_VERSION_MINOR * 1000 + WSB_VERSION_PATCH)

/* The version of the library, as WSB_VERSION_TEXT; static. Threads: any. */
WSB_API const char *wsb_version(void);
/* The same, as WSB_VERSION_NUMBER. Threads: any. */
WSB_API int wsb_version_number(void);

#ifdef __cplusplus
}
#endif
#endif
