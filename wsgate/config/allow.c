/* Names of users and groups, looked up once. */
#include "config/allow.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_BYTES = 64, SCRATCH = 16384 };

static bool number_of(const char *name, uint32_t *ret)
{
    char *end;
    errno = 0;
    unsigned long v = strtoul(name, &end, 10);
    if (name[0] < '0' || name[0] > '9' || *end || errno || v >= UINT32_MAX)
        return false;
    *ret = (uint32_t)v;
    return true;
}

static bool user_of(const char *name, uint32_t *ret)
{
    char scratch[SCRATCH];
    struct passwd entry;
    struct passwd *found = NULL;
    if (number_of(name, ret))
        return true;
    if (getpwnam_r(name, &entry, scratch, sizeof scratch, &found) != 0 || !found)
        return false;
    *ret = found->pw_uid;
    return true;
}

static bool group_of(const char *name, uint32_t *ret)
{
    char scratch[SCRATCH];
    struct group entry;
    struct group *found = NULL;
    if (number_of(name, ret))
        return true;
    if (getgrnam_r(name, &entry, scratch, sizeof scratch, &found) != 0 || !found)
        return false;
    *ret = found->gr_gid;
    return true;
}

static wsb_err add(const char *name, struct wsg_allow *ret, struct wsb_fault *fault)
{
    bool is_group = name[0] == '@';
    size_t *count = is_group ? &ret->gid_count : &ret->uid_count;
    uint32_t id;
    if (*count == WSG_ALLOW_MAX)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "at most %d users and as many groups", WSG_ALLOW_MAX);
    if (is_group ? !group_of(name + 1, &id) : !user_of(name, &id))
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "there is no %s '%s' on this host", is_group ? "group" : "user",
                             name + is_group);
    (is_group ? ret->gids : ret->uids)[(*count)++] = id;
    return WSB_OK;
}

wsb_err wsg_allow_parse(const char *text, struct wsg_allow *ret, struct wsb_fault *fault)
{
    wsb_err err = WSB_OK;
    *ret = (struct wsg_allow){0};
    while (text && *text && !err) {
        char name[NAME_MAX_BYTES];
        text += strspn(text, " ,\t");
        size_t len = strcspn(text, " ,\t");
        if (len == 0)
            break;
        if (len >= sizeof name)
            return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "'%.40s…' is too long for a name", text);
        memcpy(name, text, len);
        name[len] = 0;
        text += len;
        err = add(name, ret, fault);
    }
    if (!err && text && ret->uid_count + ret->gid_count == 0)
        err = wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "names nobody: users, or groups with an @ in front");
    return err;
}

wsb_err wsg_allow_check(const char *text, struct wsb_fault *fault)
{
    struct wsg_allow ignored;
    return wsg_allow_parse(text, &ignored, fault);
}
