/* The level above is not known here:
#include "session/session.h"
 */
#include "base/buf.h"
