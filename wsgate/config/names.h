#ifndef WSG_CONFIG_NAMES_H
#define WSG_CONFIG_NAMES_H

/*
 * Names that no option and no section has. libconfuse ends at the first of them; here each is told, and what it stands for is
 * taken out of the text, so that the rest can be read. What is no statement at all is left to libconfuse.
 */

#include "base/buf.h"
#include "config/faults.h"

/**
 * Tell and blank unknown names.
 *
 * @name     of the file, for messages
 * @text     went through wsg_config_scan(); changed in place: what is blanked becomes spaces, lines stay where they are
 * @ret_bad  a byte for each titled section, in their order: 1 when something of it was blanked
 *           (without memory for it: of fewer)
 */
void wsg_config_names(const char *name, char *text, struct wsb_buf *ret_bad, struct wsg_faults *all);

#endif
