#include "session/framing.h"

#include <sys/random.h>

bool wsg_mask_next(struct wsg_env *env, uint8_t ret[4])
{
    struct wsg_masks *m = env->masks; /* there since the first session that needs them */
    if (m->left < 4) {
        if (getrandom(m->bytes, sizeof m->bytes, 0) != (ssize_t)sizeof m->bytes)
            return false;
        m->left = sizeof m->bytes;
    }
    m->left -= 4;
    memcpy(ret, m->bytes + m->left, 4);
    return true;
}
