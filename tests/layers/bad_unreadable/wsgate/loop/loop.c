#include LOOP_BACKEND
#include "loop/no_such_file.h"
#include <wsbus/no_such_header.h>
