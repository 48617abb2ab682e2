#ifndef WSG_CONFIG_OPTION_H
#define WSG_CONFIG_OPTION_H

/*
 * Every option of the gate, once: its place in the file, its flag, its kind of value and its limits. The file and the
 * command line both read this table, so they cannot disagree; tests hold the manual and the example against it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

enum wsg_section {
    WSG_SECTION_TOP,    /* outside of every section */
    WSG_SECTION_LISTEN, /* titled, of struct wsg_listener_config */
    WSG_SECTION_ROUTE,  /* titled, of struct wsg_route_config */
    WSG_SECTION_STATIC, /* titled, of struct wsg_static_config */
    WSG_SECTION_DIAL,   /* titled, of struct wsg_dial_config */
    WSG_SECTION_BUS,    /* this one, the next three and TOP: of struct wsg_config */
    WSG_SECTION_LOG,
    WSG_SECTION_TIMEOUTS,
    WSG_SECTION_LIMITS,
    WSG_SECTIONS
};

enum wsg_option_kind {
    WSG_OPTION_SIZE,      /* size_t, bytes */
    WSG_OPTION_COUNT,     /* size_t */
    WSG_OPTION_COUNT32,   /* uint32_t */
    WSG_OPTION_DURATION,  /* uint32_t, milliseconds */
    WSG_OPTION_MODE,      /* unsigned */
    WSG_OPTION_WORKERS,   /* unsigned; 0 for "auto" */
    WSG_OPTION_BOOL,      /* bool, yes or no */
    WSG_OPTION_WORD,      /* an enum: one of words */
    WSG_OPTION_WORD_BOOL, /* bool: one of words */
    WSG_OPTION_TEXT,      /* char *, owned */
    WSG_OPTION_LIST,      /* struct wsg_texts: at most max different ones */
    WSG_OPTION_LEVELS     /* list of "module=level" */
};

struct wsg_word {
    const char *word;
    int value;
};

/* Another name for an option, of its section in the file, or (without a section) of a flag: taken, and not documented. */
struct wsg_synonym {
    enum wsg_section section;
    const char *word;
    const char *name; /* the one that is documented */
};

struct wsg_option {
    enum wsg_section section;
    const char *name;
    const char *flag; /* without the dashes; NULL: none, or part of --route and its like */
    enum wsg_option_kind kind;
    size_t offset; /* of the field, in its section's struct */
    uint64_t min, max;
    const struct wsg_word *words;                                /* ends with a NULL word */
    wsb_err (*check)(const char *text, struct wsb_fault *fault); /* of a text; NULL: any text */
};

extern const struct wsg_option wsg_options[];
extern const size_t wsg_option_count;

extern const struct wsg_synonym wsg_option_synonyms[], wsg_flag_synonyms[]; /* each ends with a NULL word */

const char *wsg_section_name(enum wsg_section section); /* "" for TOP */
bool wsg_option_is_list(const struct wsg_option *o);
/* By its name or a synonym. NULL: there is none in the section. */
const struct wsg_option *wsg_option_find(enum wsg_section section, const char *name);
enum { WSG_OPTION_HINT = 120 };

/*
 * What to do about a name that the section does not have: where it belongs, the name of the section that it is like, or
 * where all are listed. Begins with what follows "unknown option 'x'; ".
 */
void wsg_option_hint(enum wsg_section section, const char *name, char ret[WSG_OPTION_HINT]);
/* The same for a key in the value of a flag, and for a flag without its dashes; false: there is nothing to say. */
bool wsg_option_flag_hint(enum wsg_section section, const char *name, char ret[WSG_OPTION_HINT]);

/*
 * Set the option in its section's struct, or append to it when it is a list. A refusal says what is wrong with the value,
 * not where it was.
 */
WSB_MUST_CHECK wsb_err wsg_option_set(const struct wsg_option *o, void *target, const char *value,
                                      struct wsb_fault *fault);

#endif
