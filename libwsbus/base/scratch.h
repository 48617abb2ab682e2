#ifndef WSB_BASE_SCRATCH_H
#define WSB_BASE_SCRATCH_H

/*
 * Large local buffers on the path of a message, which are written before they are read. Everything else on the stack is zeroed
 * (-ftrivial-auto-var-init), which costs nothing for a number and a call of memset() for these.
 *
 *     WSB_SCRATCH uint8_t plain[4096];
 */
#if defined(__has_attribute)
#if __has_attribute(uninitialized)
#define WSB_SCRATCH __attribute__((uninitialized))
#endif
#endif
#ifndef WSB_SCRATCH
#define WSB_SCRATCH
#endif

#endif
