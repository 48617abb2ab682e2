#include <wsbus/err.h>
