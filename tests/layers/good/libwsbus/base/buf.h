#include "wsbus/err.h"
