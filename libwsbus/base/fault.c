/* A failure in words. Never allocates: a fault must be tellable when memory is what failed. */
#include "base/fault.h"

#include <stdarg.h>
#include <stdio.h>

wsb_err wsb_fault_set(struct wsb_fault *fault, wsb_err err, int os_code, const char *format, ...)
{
    if (fault) {
        va_list ap;
        fault->err = err;
        fault->os_code = os_code;
        fault->line = 0;
        fault->column = 0;
        va_start(ap, format);
        (void)vsnprintf(fault->text, sizeof fault->text, format, ap);
        va_end(ap);
    }
    return err;
}
