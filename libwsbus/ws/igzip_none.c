/* What igzip.c is where there is no ISA-L. */
#include "ws/igzip.h"

bool wsb_igzip_is_there(void)
{
    return false;
}

wsb_err wsb_igzip_new(struct wsb_igzip **ret)
{
    (void)ret;
    return WSB_ERR_UNSUPPORTED;
}

void wsb_igzip_free(struct wsb_igzip *g)
{
    (void)g;
}

wsb_err wsb_igzip_message(struct wsb_igzip *g, struct wsb_span message, struct wsb_buf *out)
{
    (void)g;
    (void)message;
    (void)out;
    return WSB_ERR_UNSUPPORTED;
}
