/* Which library this is. */
#include "wsbus/version.h"

const char *wsb_version(void)
{
    return WSB_VERSION_TEXT;
}

int wsb_version_number(void)
{
    return WSB_VERSION_NUMBER;
}
